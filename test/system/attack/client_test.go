package attack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// patience is how long a client waits for anything.
const patience = 20 * time.Second

const host = "attack.example"

// answer is what a client got.
type answer struct {
	status  int
	fields  []field
	body    []byte
	whole   bool // the answer came to its end, as far as its framing tells
	interim []int
	err     error
}

func (a *answer) get(name string) string { return get(a.fields, name) }

// connection is one of HTTP/1.
type connection struct {
	net.Conn
	r *bufio.Reader
}

func dial(address string) (*connection, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &connection{c, bufio.NewReader(c)}, nil
}

// text is the request as it goes over the wire, without a body of chunks of which the lengths are drawn.
func (q *request) text(r *rand.Rand) []byte {
	if q.raw != "" {
		return []byte(q.raw)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\nUser-Agent: %s\r\n", q.method, q.target(), q.proto, host, q.nonce)
	for _, f := range q.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	if q.expect {
		fmt.Fprint(&b, "Expect: 100-continue\r\n")
	}
	switch {
	case q.chunked:
		fmt.Fprint(&b, "Transfer-Encoding: chunked\r\n\r\n")
		for rest := q.body; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(5000))
			fmt.Fprintf(&b, "%x%s\r\n%s\r\n", n, pick(r, "", "", ";ext=1"), rest[:n])
			rest = rest[n:]
		}
		fmt.Fprintf(&b, "0\r\n%s\r\n", pick(r, "", "X-Trailer: 1\r\n"))
	case len(q.body) > 0 || q.method == "PUT" || q.method == "POST" || q.method == "PATCH":
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(q.body), q.body)
	default:
		fmt.Fprint(&b, "\r\n")
	}
	return b.Bytes()
}

// exchange sends a request and reads the answer to it.
func (c *connection) exchange(q *request, r *rand.Rand) *answer {
	wait := patience
	if q.broken != "" {
		wait = 2 * time.Second // more may be waited for
	}
	_ = c.SetDeadline(time.Now().Add(wait))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(q.text(r))
		sent <- err
	}()
	a := c.read(q)
	if a.err != nil {
		c.Close()
	}
	<-sent
	return a
}

// pipeline sends two requests at once, and reads both answers; the second is nil where the first was the last of the connection.
func (c *connection) pipeline(q, next *request, r *rand.Rand) (first, second *answer) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append(q.text(r), next.text(r)...)); err != nil {
		return &answer{err: err}, nil
	}
	if first = c.read(q); !first.closes() {
		second = c.read(next)
	}
	return first, second
}

// read reads an answer.
func (c *connection) read(q *request) *answer {
	a := &answer{}
	for {
		line, fields, err := readHead(c.r)
		if err != nil {
			a.err = err
			return a
		}
		words := strings.SplitN(line, " ", 3)
		if len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/1.") {
			a.err = fmt.Errorf("no status line: %q", line)
			return a
		}
		if a.status, a.err = strconv.Atoi(words[1]); a.err != nil {
			return a
		}
		if a.status >= 200 || a.status == 101 {
			a.fields = fields
			break
		}
		a.interim = append(a.interim, a.status)
	}
	switch {
	case q.method == "HEAD", a.status == 204, a.status == 304:
		a.whole = true
	case a.get("Transfer-Encoding") != "":
		a.body, a.err = io.ReadAll(httputil.NewChunkedReader(c.r))
		if a.err == nil {
			var trailers []field
			trailers, _, a.err = readTrailers(c.r)
			a.whole = a.err == nil
			_ = trailers
		}
	case a.get("Content-Length") != "":
		n, err := strconv.Atoi(a.get("Content-Length"))
		if err != nil {
			a.err = err
			return a
		}
		a.body = make([]byte, n)
		n, a.err = io.ReadFull(c.r, a.body)
		a.body, a.whole = a.body[:n], a.err == nil
	default: // only its end tells where it ends, and that may have come early
		a.body, a.err = io.ReadAll(c.r)
	}
	return a
}

// closes reports whether no other request may follow.
func (a *answer) closes() bool {
	return a.err != nil || strings.Contains(strings.ToLower(a.get("Connection")), "close") || a.get("Content-Length") == "" && a.get("Transfer-Encoding") == "" && a.status != 204 && a.status != 304
}

// newH2 is a client of HTTP/2 without TLS.
func newH2() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{Protocols: protocols, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// exchangeH2 sends a request over HTTP/2, where fields of a connection have no place.
func exchangeH2(client *http.Client, address string, q *request, abort bool) *answer {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if abort {
		timer := time.AfterFunc(rand.N(3*time.Millisecond), cancel)
		defer timer.Stop()
	}
	a := &answer{}
	var body io.Reader
	if len(q.body) > 0 {
		if body = bytes.NewReader(q.body); q.chunked {
			body = struct{ io.Reader }{body}
		}
	}
	m, err := http.NewRequestWithContext(ctx, q.method, "http://"+address+q.target(), body)
	if err != nil {
		a.err = err
		return a
	}
	m.Host = host
	m.Header.Set("User-Agent", q.nonce)
	kept := q.fields[:0]
	for _, f := range q.fields {
		if f.name != "Connection" && f.name != "X-Hop" {
			m.Header.Add(f.name, f.value)
			kept = append(kept, f)
		}
	}
	q.fields = kept
	res, err := client.Do(m)
	if err != nil {
		a.err = err
		return a
	}
	defer res.Body.Close()
	a.status = res.StatusCode
	for name, values := range res.Header {
		for _, value := range values {
			a.fields = append(a.fields, field{name, value})
		}
	}
	a.body, a.err = io.ReadAll(res.Body)
	a.whole = a.err == nil
	return a
}

// timedOut reports whether nothing came for as long as a client waits.
func (a *answer) timedOut() bool {
	var network net.Error
	return errors.As(a.err, &network) && network.Timeout()
}
