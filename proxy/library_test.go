package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// library is an origin with one book, of which it gives parts by the rules of net/http.
type library struct {
	mu     sync.Mutex
	body   string
	header http.Header
	seen   []string // Range and If-Range of each request
	before func(w http.ResponseWriter, r *http.Request) (done bool)
}

func newLibrary(body string, header ...string) *library {
	s := &library{body: body, header: http.Header{"Content-Type": {"text/plain"}}}
	s.set(header...)
	return s
}

func (s *library) set(header ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 0; i+1 < len(header); i += 2 {
		s.header.Set(header[i], header[i+1])
	}
}

func (s *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	for name, values := range s.header {
		w.Header()[name] = values
	}
	body, before := s.body, s.before
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if r.Header.Get("If-None-Match") != "" && w.Header().Get("Etag") == "" {
		r.Header.Del("If-None-Match")
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
}

func (s *library) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// piece is one request for a range and what must come back.
type piece struct {
	method string   // empty: GET
	header []string // name, value, …
	purge  []policy.Member
	soft   bool

	status int    // zero: 206
	body   string // "*": any
	span   string // Content-Range
	cache  string // what Cache-Status must contain
	origin string // what the origin saw of Range and If-Range; "-": it was not asked
}

// idle reports whether no fill runs.
func (r *rig) idle() bool { return r.proxy.fills.Load().Tasks == 0 }

func rng(fields ...string) []string {
	return append([]string{"Range", "bytes=" + fields[0]}, fields[1:]...)
}

func runPieces(t *testing.T, r *rig, s *library, pieces []piece) {
	t.Helper()
	for i, p := range pieces {
		if p.purge != nil {
			if _, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: p.purge, Soft: p.soft}); err != nil {
				t.Fatal(err)
			}
		}
		method, status, asked := "GET", http.StatusPartialContent, len(s.asked())
		if p.method != "" {
			method = p.method
		}
		if p.status != 0 {
			status = p.status
		}
		a := r.do(method, "/a", p.header...)
		cache, span := strings.Join(a.header.Values("Cache-Status"), ", "), a.header.Get("Content-Range")
		if a.status != status || p.body != "*" && a.body != p.body || span != p.span || cache == "" || !strings.Contains(cache, p.cache) {
			t.Errorf("step %d: got %d %.100q, Content-Range %q, Cache-Status %q; want %d %q, %q, %q", i+1, a.status, a.body, span, cache, status, p.body, p.span, p.cache)
		}
		if n := a.header.Get("Content-Length"); method == "GET" && n != "" && n != fmt.Sprint(len(a.body)) && status != http.StatusNotModified {
			t.Errorf("step %d: Content-Length %s of %d bytes", i+1, n, len(a.body))
		}
		// A part is out before the rest has come and is stored.
		waitFor(t, r.idle)
		seen := "-"
		if now := s.asked(); len(now) > asked {
			seen = strings.Join(now[asked:], " | ")
		}
		if seen != p.origin {
			t.Errorf("step %d: the origin saw %q, want %q", i+1, seen, p.origin)
		}
	}
}
