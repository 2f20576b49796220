package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
	"cacheproxy/test/products"

	"github.com/klauspost/compress/zstd"
)

const benchProducts = 1000

// warm is a proxy that holds copies of many products, and requests for them.
func warm(b *testing.B, told int, held httpcache.Coding) (*Proxy, []*http.Request) {
	b.Helper()
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(r.URL.Path[len("/products/"):], 10, 64)
		body := products.Sample(id, told)
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("Surrogate-Key", fmt.Sprintf("product:%d category:%d", id, 21+id%400))
		h.Set("ETag", fmt.Sprintf(`"%016x"`, store.Digest(200, body)))
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}))
	b.Cleanup(back.Close)
	target, err := url.Parse(back.URL)
	if err != nil {
		b.Fatal(err)
	}
	route := routeFor(b, "product", func(r *policy.Route) { r.Key, r.Compression = template(b, "product:{id}"), held }, "GET /products/{id}")
	table, err := policy.NewTable([]*policy.Route{route})
	if err != nil {
		b.Fatal(err)
	}
	access, err := observe.NewAccessLog(observe.AccessLogOptions{Format: "off", Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	ledger, metrics := invalidation.NewLedger(), observe.NewMetrics("test")
	shop := upstream.New(upstream.Options{Name: "shop", URL: target})
	p := New(Options{
		Config: NewConfig(Config{Table: table, MaxObject: 1 << 20}, []*policy.Route{route}, []*upstream.Upstream{shop}, metrics),
		Store:  store.New(store.NewMemory(256 << 20)), Ledger: ledger, Log: invalidation.NewLocal(ledger, "test"), Metrics: metrics, Access: access,
		Logger: slog.New(slog.DiscardHandler), ConfirmTimeout: timeout(0), Silence: timeout(0),
	})
	b.Cleanup(func() { p.Close(); shop.CloseIdle() })
	requests := make([]*http.Request, benchProducts)
	for i := range requests {
		requests[i] = httptest.NewRequest("GET", fmt.Sprintf("/products/%d", i+1), nil)
		p.ServeHTTP(&sink{header: http.Header{}}, requests[i])
	}
	waitFor(b, func() bool { p.store.Memory().Settle(); return p.store.Memory().Entries() == benchProducts })
	return p, requests
}

// BenchmarkCompression measures what compression does to the memory that a copy of the sample shop's product takes, key,
// header and bookkeeping included, and to the cost of a hit.
func BenchmarkCompression(b *testing.B) {
	for _, told := range []int{10, 7, 3} {
		for _, held := range []httpcache.Coding{httpcache.Identity, httpcache.Gzip, httpcache.Brotli, httpcache.Zstd} {
			for about, accept := range map[string]string{"accepted": "gzip, deflate, br, zstd", "unpacked": "identity"} {
				if held == httpcache.Identity && about == "unpacked" {
					continue
				}
				b.Run(fmt.Sprintf("%d sentences/%s/%s", told, held, about), func(b *testing.B) {
					p, requests := warm(b, told, held)
					for _, r := range requests {
						r.Header.Set("Accept-Encoding", accept)
					}
					s, n := &sink{header: http.Header{}}, 0
					b.ReportAllocs()
					for b.Loop() {
						s.reset()
						p.ServeHTTP(s, requests[n%benchProducts])
						n++
					}
					b.ReportMetric(float64(p.store.Memory().Bytes())/benchProducts, "B/copy")
					b.ReportMetric(float64(s.bytes), "B/answer")
				})
			}
		}
	}
}

// BenchmarkDictionary measures how long a product's body would be with a dictionary of other products, which no client has:
// such a copy would have to be unpacked for everybody.
func BenchmarkDictionary(b *testing.B) {
	var samples []byte
	for id := int64(benchProducts + 1); id <= benchProducts+8; id++ {
		samples = append(samples, products.Sample(id, 10)...)
	}
	for about, option := range map[string]zstd.EOption{"without": zstd.WithEncoderCRC(false), "with": zstd.WithEncoderDictRaw(1, samples)} {
		b.Run(about, func(b *testing.B) {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false), option)
			if err != nil {
				b.Fatal(err)
			}
			total, n := 0, 0
			for b.Loop() {
				total += len(e.EncodeAll(products.Sample(int64(n%benchProducts+1), 10), nil))
				n++
			}
			b.ReportMetric(float64(total)/float64(n), "B/body")
		})
	}
}
