package hit

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"cacheproxy/proxy/server"
)

// heads are what clients and attackers send: each is read by head and by net/http.
var heads = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD /a/b?c=d&e=%zz HTTP/1.1\r\nHost: a.example:8080\r\nConnection: Keep-Alive\r\n\r\n",
	"GET /%41?x HTTP/1.1\r\nhost:a\r\nUSER-AGENT:\t b \t\r\naCCEPT-enCODING: gzip\r\nX-A: \r\nx-a: 2\r\nX_B~|: \xff\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
	"DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "get / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /{a}\"|^ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET //a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
	"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "GET /\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
	"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n", "GET / HTTP/1.1\r\nHost: a\r\rX: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n",
	"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc: d\r\n\r\n", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n(X): b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX\xc3: b\r\n\r\n",
	"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n1;a=\"\r\nx\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent_Length: 3\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\nTransfer-Encoding\r\n : chunked\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X\r\nX: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=\"d\"\r\nAuthorization: Basic YTpi\r\nX-Long: " + strings.Repeat("x", 3000) + "\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", maxFields+3) + "\r\n", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("x-lower-"+strings.Repeat("y", 40)+": b\r\n", 30) + "\r\n",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", "G", "GET", "GET /", "GARBAGE\r\n", "garbage", "GET / HTTP/1.1\r\nHost: a\r\nBAD\r\n",
}

// errMore says that a request is not whole yet.
var errMore = errors.New("more is to come")

// openEnd is a connection on which nothing more has come: who reads it would wait.
type openEnd struct{ *bytes.Reader }

func (e openEnd) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err != nil {
		panic(errMore)
	}
	return n, nil
}

// readByLibrary reads a request as net/http's server does, and says where it ends.
func readByLibrary(b []byte) (r *http.Request, end int, err error) {
	defer func() {
		if recover() != nil {
			err = errMore
		}
	}()
	rest := openEnd{bytes.NewReader(b)}
	buffered := bufio.NewReader(rest)
	r, err = http.ReadRequest(buffered)
	return r, len(b) - rest.Len() - buffered.Buffered(), err
}

// compare reads b twice. Whatever head takes for a request is one for net/http, the same one, and ends where head says.
func compare(t *testing.T, b []byte) {
	t.Helper()
	kept := bytes.Clone(b)
	h := newVisit().head
	n, what := h.parse(b)
	if !bytes.Equal(b, kept) {
		t.Fatalf("%q was changed", kept)
	}
	r, consumed, err := readByLibrary(b)
	switch what {
	case server.Other:
	case server.Incomplete:
		if !errors.Is(err, errMore) {
			t.Errorf("%q is taken for a beginning; net/http says %v", b, err)
		}
	case server.Single:
		if err != nil {
			if h.usual {
				t.Errorf("%q is refused by net/http: %v", b, err)
			}
			return
		}
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Body != http.NoBody || consumed != n {
			t.Errorf("%q has content for net/http, or another end: %d, %v, ends at %d, not %d", b, r.ContentLength, r.TransferEncoding, consumed, n)
		}
		if !h.usual {
			return
		}
		delete(r.Header, "Host")
		if h.r.Method != r.Method || h.r.RequestURI != r.RequestURI || h.r.Host != r.Host || h.r.Proto != r.Proto || !reflect.DeepEqual(h.r.Header, r.Header) {
			t.Errorf("%q\n is %s %s at %s %q\nnot %s %s at %s %q", b, h.r.Method, h.r.RequestURI, h.r.Host, h.r.Header, r.Method, r.RequestURI, r.Host, r.Header)
		}
		for name, lines := range r.Header {
			if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(lines, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
				t.Errorf("%q has a field that net/http's server refuses", b)
			}
		}
		if !httpguts.ValidHostHeader(h.r.Host) || r.Close != h.closes {
			t.Errorf("%q has a Host that net/http's server refuses, or ends the connection", b)
		}
	}
}

func FuzzHead(f *testing.F) {
	for _, head := range heads {
		f.Add([]byte(head))
	}
	f.Fuzz(compare)
}

// Heads that are cut, joined, and changed by a few bytes mean the same to both.
func TestHeadsMutated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	odd := []string{"\r", "\n", "\r\n", " ", "\t", ":", "\x00", "\x7f", "\xff", "Host: b\r\n", "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n", "%", "#", "\r\n\r\n", "Connection: close\r\n", "HTTP/1.1"}
	for range 60_000 {
		b := []byte(heads[r.IntN(len(heads))])
		if r.IntN(4) == 0 {
			b = append(b, heads[r.IntN(len(heads))]...)
		}
		for range 1 + r.IntN(3) {
			at := r.IntN(len(b) + 1)
			switch r.IntN(4) {
			case 0:
				b = slices.Insert(b, at, []byte(odd[r.IntN(len(odd))])...)
			case 1:
				b = b[:at]
			case 2:
				b = slices.Delete(b, at, min(len(b), at+1+r.IntN(3)))
			case 3:
				if at < len(b) {
					b[at] = byte(r.IntN(256))
				}
			}
		}
		compare(t, b)
	}
}

// What is a request is one for every way in which its bytes may come.
func TestBeginnings(t *testing.T) {
	answered := 0
	for _, whole := range heads {
		h := newVisit().head
		n, what := h.parse([]byte(whole))
		if what != server.Single || h.odd {
			continue
		}
		answered++
		for end := 1; end < n; end++ {
			if _, what := h.parse([]byte(whole[:end])); what != server.Incomplete {
				t.Errorf("%q is %v, and what follows makes it a request", whole[:end], what)
			}
		}
	}
	if answered < 10 {
		t.Errorf("%d of the heads are requests", answered)
	}
}

// Usual heads are usual.
func TestUsual(t *testing.T) {
	for _, head := range heads[:3] {
		h := newVisit().head
		if n, what := h.parse([]byte(head)); what != server.Single || !h.usual || n != len(head) {
			t.Errorf("%q is %v, usual %v", head, what, h.usual)
		}
	}
}
