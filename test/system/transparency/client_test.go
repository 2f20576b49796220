package transparency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"time"
)

// site is the Host of every request, whichever way it goes.
const site = "shop.example"

// patience is how long a client waits for the end of anything.
const patience = 20 * time.Second

// answer is what a client got.
type answer struct {
	status  int
	header  http.Header
	body    [sha256.Size]byte
	text    string // the beginning of the body, for messages
	length  int
	trailer http.Header
	interim []string
	err     string // in place of an answer, or of its end
}

// client asks one address, and adds nothing to what it is told.
type client struct{ transport *http.Transport }

func newClient(address string, h2 bool) *client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	return &client{&http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		DisableCompression: true, Protocols: protocols, ExpectContinueTimeout: 5 * time.Second,
	}}
}

// pieces is a body that comes in pieces.
type pieces struct {
	left []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	<-time.After(20 * time.Millisecond)
	n := copy(b, p.left[:min(len(p.left), p.size)])
	p.left = p.left[n:]
	return n, nil
}

func (c *client) do(ctx context.Context, e exchange) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		if status != http.StatusContinue {
			a.interim = append(a.interim, fmt.Sprint(status, " ", h))
		}
		return nil
	}})
	req := (&http.Request{
		Method: e.method, URL: &url.URL{Scheme: "http", Host: site, Opaque: e.target}, Host: site, Header: e.header.Clone(), Trailer: e.trailer.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if e.body != nil {
		var body io.Reader = bytes.NewReader(e.body)
		if e.slow {
			body = &pieces{e.body, max(1, len(e.body)/5)}
		}
		req.Body = io.NopCloser(body)
		if req.ContentLength = int64(len(e.body)); e.unknown {
			req.ContentLength = -1
		} else if len(e.body) == 0 {
			req.Body = http.NoBody
		}
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		a.err = "no answer"
		return a
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		a.err = "cut"
	}
	a.status, a.header, a.trailer = res.StatusCode, res.Header, res.Trailer
	a.body, a.length, a.text = sha256.Sum256(body), len(body), string(body[:min(len(body), 100)])
	return a
}
