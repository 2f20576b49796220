package proxy

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
	"cacheproxy/test/references"
)

// sink is a ResponseWriter that can be used again.
type sink struct {
	header http.Header
	status int
	bytes  int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { s.bytes += len(p); return len(p), nil }

func (s *sink) reset() {
	clear(s.header)
	s.status, s.bytes = 0, 0
}

// hot is a proxy that holds a copy of 2 KiB, with a request for it.
func hot(t testing.TB, change ...func(*policy.Route)) (*Proxy, *http.Request) {
	t.Helper()
	made := references.Made()
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Surrogate-Key", "product-1 category-7")
		io.WriteString(w, strings.Repeat("x", 2<<10))
	}))
	t.Cleanup(back.Close)
	target, err := url.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	route := routeFor(t, "product", func(r *policy.Route) {
		r.Key = template(t, "product:{id}")
		for _, f := range change {
			f(r)
		}
	}, "GET /products/{id}")
	table, err := policy.NewTable([]*policy.Route{route})
	if err != nil {
		t.Fatal(err)
	}
	access, err := observe.NewAccessLog(observe.AccessLogOptions{Format: "off", Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ledger, metrics := invalidation.NewLedger(), observe.NewMetrics("test")
	shop := upstream.New(upstream.Options{Name: "shop", URL: target})
	p := New(Options{
		Config: NewConfig(Config{Table: table, MaxObject: 1 << 20}, []*policy.Route{route}, []*upstream.Upstream{shop}, metrics),
		Store:  store.New(store.NewMemory(64 << 20)), Ledger: ledger, Log: invalidation.NewLocal(ledger, "test"), Metrics: metrics, Access: access,
		Logger: slog.New(slog.DiscardHandler), ConfirmTimeout: timeout(0), Silence: timeout(0),
	})
	t.Cleanup(func() { p.Close(); shop.CloseIdle(); references.WantAllFree(t, made, p.store) })
	r := httptest.NewRequest("GET", "/products/1", nil)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("User-Agent", "bench")
	s := &sink{header: http.Header{}}
	waitFor(t, func() bool {
		s.reset()
		p.ServeHTTP(s, r)
		return strings.Contains(s.header.Get("Cache-Status"), "; hit")
	})
	if got := s.header.Get("Cache-Status"); s.status != 200 || s.bytes != 2<<10 || !strings.Contains(got, "; hit") {
		t.Fatalf("no hit: %d, %d bytes, Cache-Status %q", s.status, s.bytes, got)
	}
	return p, r
}

// browserHead is what a browser says when it opens a page.
var browserHead = map[string]string{
	"Accept":             "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
	"Accept-Encoding":    "gzip, deflate, br, zstd",
	"Accept-Language":    "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
	"Cache-Control":      "max-age=0",
	"Connection":         "keep-alive",
	"Priority":           "u=0, i",
	"Sec-Ch-Ua":          `"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"`,
	"Sec-Ch-Ua-Mobile":   "?0",
	"Sec-Ch-Ua-Platform": `"Linux"`,
	"Sec-Fetch-Dest":     "document",
	"Sec-Fetch-Mode":     "navigate",
	"Sec-Fetch-Site":     "none",
	"Sec-Fetch-User":     "?1",
	"User-Agent":         "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",

	"Upgrade-Insecure-Requests": "1",
}

// BenchmarkHit answers from memory without a connection: what the proxy itself costs.
func BenchmarkHit(b *testing.B) {
	b.Run("serial", func(b *testing.B) {
		p, r := hot(b)
		s := &sink{header: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			s.reset()
			p.ServeHTTP(s, r)
		}
	})
	b.Run("browser", func(b *testing.B) {
		p, r := hot(b)
		for name, value := range browserHead {
			r.Header.Set(name, value)
		}
		s := &sink{header: http.Header{}}
		p.ServeHTTP(s, r)
		waitFor(b, func() bool {
			s.reset()
			p.ServeHTTP(s, r)
			return strings.Contains(s.header.Get("Cache-Status"), "; hit")
		})
		b.ReportAllocs()
		for b.Loop() {
			s.reset()
			p.ServeHTTP(s, r)
		}
	})
	b.Run("leased", func(b *testing.B) {
		p, r := hot(b)
		p.lease = invalidation.NewLease(time.Now())
		p.lease.Extend(time.Now().Add(time.Hour))
		s := &sink{header: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			s.reset()
			p.ServeHTTP(s, r)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		p, r := hot(b)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			s := &sink{header: http.Header{}}
			for pb.Next() {
				s.reset()
				p.ServeHTTP(s, r)
			}
		})
	})
}

// BenchmarkRules is the part of a hit that keeps copies right among several instances: the ledger's position, the lease, and
// whether the copy was invalidated, with a copy that was checked just now, and with one of which some other copies were
// invalidated since.
func BenchmarkRules(b *testing.B) {
	lease := invalidation.NewLease(time.Now())
	lease.Extend(time.Now().Add(time.Hour))
	now := time.Now()
	b.Run("ledger", func(b *testing.B) {
		copied, ledger, _ := checked()
		for b.Loop() {
			_ = ledger.Token()
			if ledger.Check(&copied.Stamp, copied.Members()) != invalidation.Valid {
				b.Fatal("purged")
			}
		}
	})
	b.Run("lease", func(b *testing.B) {
		for b.Loop() {
			if !lease.Valid(now) {
				b.Fatal("lapsed")
			}
		}
	})
	b.Run("ledger after an entry", func(b *testing.B) {
		copied, ledger, log := checked()
		before := ledger.Token()
		if _, err := log.Invalidate(b.Context(), invalidation.Order{Members: []policy.Member{tag("other")}}); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			copied.Stamp.Set(before)
			if ledger.Check(&copied.Stamp, copied.Members()) != invalidation.Valid {
				b.Fatal("purged")
			}
		}
	})
}

// checked is a copy with as many members as that of a product has.
func checked() (*store.Copy, *invalidation.Ledger, invalidation.Log) {
	ledger := invalidation.NewLedger()
	copied := store.NewCopy(http.StatusOK, http.Header{}, nil)
	var members []invalidation.ID
	for i := range 12 {
		members = append(members, invalidation.IDOf(tag(strconv.Itoa(i))))
	}
	copied.SetMembers(members)
	copied.Stamp.Set(ledger.Token())
	return copied, ledger, invalidation.NewLocal(ledger, "test")
}
