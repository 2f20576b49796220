package proxy

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// BenchmarkMiss is a request for 2 KiB that nobody has asked for before, from the proxy's handler to an origin on a connection that is
// kept, which reads a head and writes a constant, and allocates nothing.
func BenchmarkMiss(b *testing.B) {
	origin := constantOrigin(b, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: max-age=86400\r\nEtag: \"v\"\r\nContent-Length: 2048\r\n\r\n"+strings.Repeat("x", 2<<10))
	route := routeFor(b, "all", nil, "GET /")
	table, err := policy.NewTable([]*policy.Route{route})
	if err != nil {
		b.Fatal(err)
	}
	access, err := observe.NewAccessLog(observe.AccessLogOptions{Format: "json", Hits: 0, Others: 1, Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	ledger, metrics := invalidation.NewLedger(), observe.NewMetrics("test")
	shop := upstream.New(upstream.Options{Name: "shop", URL: &url.URL{Scheme: "http", Host: origin}})
	p := New(Options{
		Config: NewConfig(Config{Table: table, MaxObject: 1 << 20}, []*policy.Route{route}, []*upstream.Upstream{shop}, metrics),
		Store:  store.New(store.NewMemory(64 << 20)), Ledger: ledger, Log: invalidation.NewLocal(ledger, "test"), Metrics: metrics, Access: access,
		Logger: slog.New(slog.DiscardHandler), ConfirmTimeout: timeout(0), Silence: timeout(0),
	})
	b.Cleanup(func() { p.Close(); shop.CloseIdle() })
	n := 0 // of all runs: a path that comes again is a hit
	for _, c := range []struct{ name, fields string }{
		{"constant", ""},
		{"browser", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\n" +
			"Accept-Language: en-US,en;q=0.9\nAccept-Encoding: gzip, deflate, br, zstd\nReferer: https://shop.example/categories/7\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors\n" +
			"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nX-Request-Id: 7d8f6a1c-0000-4000-a000-000000000000"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			s := &sink{header: http.Header{}}
			r := httptest.NewRequest("GET", "/", nil)
			for line := range strings.SplitSeq(c.fields, "\n") {
				if name, value, ok := strings.Cut(line, ": "); ok {
					r.Header.Set(name, value)
				}
			}
			for b.Loop() {
				n++
				s.reset()
				r.RequestURI = "/" + c.name + "/" + strconv.Itoa(n)
				r.URL.Path = r.RequestURI
				p.ServeHTTP(s, r)
				if s.bytes != 2<<10 {
					b.Fatalf("%d bytes, %d", s.bytes, s.status)
				}
			}
		})
	}
}

// constantOrigin answers each request without content with the same bytes, and has the address where it listens.
func constantOrigin(b *testing.B, answer string) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var conns sync.WaitGroup
	b.Cleanup(func() { ln.Close(); conns.Wait() })
	out := []byte(answer)
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				for in := bufio.NewReader(conn); ; {
					for {
						line, err := in.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) == 2 {
							break
						}
					}
					if _, err := conn.Write(out); err != nil {
						return
					}
				}
			})
		}
	})
	return ln.Addr().String()
}
