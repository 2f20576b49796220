package instance

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"cacheproxy/test/wire"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// spoiled is a request that is malformed in one part.
type spoiled struct {
	method, path, host string
	fields             [][2]string
	content            bool
}

// malformedRequests are requests for a path, each with a part that is none by its grammar: RFC 9110 §5.1, §5.5, §6.6.2, §7.2 and §9.1,
// RFC 9112 §3, and for HTTP/2 alone RFC 9113 §8.2.2 and §8.3.1.
func malformedRequests(path string, h2 bool) (all []spoiled) {
	noToken := []string{"x y", "x:y", "x(", "(a)", "x/", "a@b", "\xc3\xa9", "a\"", "a,b;c", "x\x7f", "[x]", "x=1", "{x}"}
	for _, t := range append(noToken, "x\ty", " x") {
		all = append(all, spoiled{method: t, path: path, host: "a.example"})
		all = append(all, spoiled{method: t, path: path, host: "a.example", content: true})
	}
	for _, method := range []string{"GET", "POST", "FETCH"} {
		one := func(path, host string, content bool, fields ...[2]string) {
			all = append(all, spoiled{method, path, host, fields, content})
		}
		for _, t := range noToken {
			if t != "x:y" { // a field with a value
				one(path, "a.example", false, [2]string{t, "1"})
			}
			one(path, "a.example", true, [2]string{"trailer", t})
			one(path, "a.example", true, [2]string{"trailer", "ok, " + t})
		}
		for _, value := range []string{"\x00", "a\x7fb", "a\x01", "a\rb"} {
			one(path, "a.example", false, [2]string{"x-a", value})
		}
		for _, host := range []string{"a b", "[", "[::1", "a%zz", "a%4", "u@a", "a/b", "a:99999", "a:b", "\xc3\xa9", "..", "a,b", "a\x7f"} {
			if host != "a,b" { // a reg-name
				one(path, host, false)
				one(path, host, true)
			}
		}
		for _, target := range []string{path + "\x7f", path + " b", path + "\x01", "a", ""} {
			one(target, "a.example", false)
		}
		if h2 {
			one(path, "a.example", false, [2]string{"te", "gzip"})
			one(path, "a.example", false, [2]string{"X-A", "1"})
			one(path, "a.example", false, [2]string{"connection", "x"})
			one(path, "a.example", true, [2]string{"transfer-encoding", "chunked"})
		}
	}
	return all
}

func (s *spoiled) overHTTP1() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", s.method, s.path, s.host)
	for _, f := range s.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	if s.content {
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// overHTTP2 sends the request on a connection of its own, and returns the status; 0: the stream or the connection was ended.
func (s *spoiled) overHTTP2(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, f := range append([][2]string{{":method", s.method}, {":scheme", "http"}, {":path", s.path}, {":authority", s.host}}, s.fields...) {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = conn.Write([]byte(http2.ClientPreface))
	for _, step := range []func() error{
		func() error { return err },
		func() error { return f.WriteSettings() },
		func() error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndStream: !s.content, EndHeaders: true})
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if s.content {
		_ = f.WriteData(1, true, []byte("x")) // the connection may be over
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return "ended"
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "ended"
		}
	}
}

// A malformed request gets 400, or over HTTP/2 the end of its stream, whatever is to become of well-formed ones; the API sees nothing of it,
// and no address of the API is judged by it.
func TestMalformedRequests(t *testing.T) {
	var seen atomic.Int64
	i := newOnPath(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		seen.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
	}), `
h2c: true
upstreams: [{name: origin, url: ["ORIGIN", "http://127.0.0.1:1"]}]
routes:
  - {name: c, match: [/c/, "FETCH /c/"], policy: cache-aside, ttl: 1h}
  - {name: w, match: [/w/, "FETCH /w/"], policy: write-through, ttl: 1h}
  - {name: b, match: [/b/, "FETCH /b/"], policy: bypass}
  - {name: o, match: [/o/, "FETCH /o/"], policy: cache-aside, ttl: 1h, mode: observe}
  - {name: q, match: ["POST /q/"], policy: cache-aside, ttl: 1h, content: {}}
`)
	address := serveData(t, i)
	for _, path := range []string{"/c/1", "/w/1", "/b/1", "/o/1", "/q/1", "/unmatched"} {
		for _, s := range malformedRequests(path, false) {
			if s.path == "" || strings.HasPrefix(s.path, path+" ") && s.method == "" {
				continue
			}
			if got := string(wire.Send(t, address, s.overHTTP1())); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
				t.Errorf("over HTTP/1.1, %q: %.60q, want 400", s.overHTTP1(), got)
			}
		}
		for _, s := range malformedRequests(path, true) {
			if got := s.overHTTP2(t, address); got != "400" && got != "ended" {
				t.Errorf("over HTTP/2, %+v: %s, want 400 or the end of the stream", s, got)
			}
		}
	}
	if n := seen.Load(); n > 0 {
		t.Errorf("the API saw %d of them", n)
	}
	for _, u := range i.upstreams.now {
		u.Health(func(address string, healthy bool) {
			if !healthy {
				t.Errorf("%s was judged by what never got there", address)
			}
		})
	}
	// A list may have empty elements (RFC 9110 §5.6.1).
	empty := spoiled{http.MethodPost, "/b/1", "a.example", [][2]string{{"trailer", ","}}, true}
	if got := empty.overHTTP2(t, address); got != "200" {
		t.Errorf("Trailer with empty elements: %s", got)
	}
	if got := string(wire.Send(t, address, empty.overHTTP1())); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("Trailer with empty elements, over HTTP/1.1: %.60q", got)
	}
}
