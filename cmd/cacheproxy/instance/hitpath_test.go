package instance

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cacheproxy/config"
	"cacheproxy/proxy"
	"cacheproxy/proxy/hit"
	"cacheproxy/proxy/server"
	"cacheproxy/test/wire"
)

// browserFields are what a browser and a tracing proxy in front say of a request.
const browserFields = "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36\r\n" +
	"Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Sec-Ch-Ua: \"Not)A;Brand\";v=\"8\", \"Chromium\";v=\"138\", \"Google Chrome\";v=\"138\"\r\nSec-Ch-Ua-Mobile: ?0\r\nSec-Ch-Ua-Platform: \"Windows\"\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\nReferer: https://shop.example/categories/7/shoes?page=3\r\nSec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nTraceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n" +
	"X-Request-Id: 01234567-89ab-4cde-a012-0123456789ab\r\n"

// newOnPath makes an instance with these lines of configuration, in front of an origin.
func newOnPath(t testing.TB, origin http.Handler, lines string) *Instance {
	t.Helper()
	return newLogged(t, origin, lines, io.Discard)
}

func newLogged(t testing.TB, origin http.Handler, lines string, accessLog io.Writer) *Instance {
	t.Helper()
	back := httptest.NewServer(origin)
	t.Cleanup(back.Close)
	s, err := config.Parse("test.yaml", []byte(strings.ReplaceAll(lines, "ORIGIN", back.URL)), config.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := New(Options{Config: s, Logs: logTo(slog.New(slog.DiscardHandler)), AccessLog: accessLog})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		i.proxy.Close()
		for _, up := range i.upstreams.now {
			up.Retire()
		}
	})
	return i
}

// serveData serves clients of an instance, and returns its address.
func serveData(t testing.TB, i *Instance) string {
	t.Helper()
	return wire.Serve(t, i.data, i.connections.Listen(wire.Listen(t)))
}

const notModified = "If-None-Match: \"1\"\r\n"

const oneRoute = `
upstreams: [{name: origin, url: "ORIGIN"}]
routes:
  - {name: all, match: "GET /", policy: cache-aside, ttl: 1h, ignore_headers: ["Sec-*"]}
`

// hotPath is a path to a copy of 2 KiB.
func hotPath(t testing.TB, lines, fields string) *hit.Path {
	return hit.New(proxy.NewHits(hot(t, lines, fields, io.Discard).proxy))
}

// hot is an instance that holds a copy of 2 KiB.
func hot(t testing.TB, lines, fields string, accessLog io.Writer) *Instance {
	i := newLogged(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Cache-Control", "max-age=86400")
		h.Set("Etag", `"1"`)
		io.WriteString(w, strings.Repeat("x", 2<<10))
	}), lines, accessLog)
	wire.Send(t, serveData(t, i), "GET /2048/1 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n"+fields+"\r\n")
	return i
}

func BenchmarkHitPath(b *testing.B) {
	for name, fields := range map[string]string{"realistic": browserFields, "constant": "", "304": browserFields + notModified} {
		b.Run(name, func(b *testing.B) {
			path, head := hotPath(b, oneRoute, strings.TrimSuffix(fields, notModified)), []byte("GET /2048/1 HTTP/1.1\r\nHost: shop.example\r\n"+fields+"\r\n")
			b.ReportAllocs()
			for b.Loop() {
				if _, what := path.Answer(io.Discard, "192.0.2.1:1234", head, true); what != server.Answered {
					b.Fatal(what)
				}
			}
		})
	}
}
