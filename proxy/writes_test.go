package proxy

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// storing is a write-through route whose writes leave their answers behind.
func storing(t *testing.T) *policy.Route {
	return routeFor(t, "all", func(r *policy.Route) {
		r.Policy, r.OnWrite, r.FenceHold, r.Key = policy.WriteThrough, policy.OnWriteStore, 30*time.Second, template(t, "a")
	}, "/")
}

// located answers writes with what they leave, under its own URL (RFC 9110 §8.7).
func located(location string) func(int64, http.ResponseWriter, *http.Request) bool {
	return func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "GET" && location != "" {
			w.Header().Set("Content-Location", location)
		}
		return true
	}
}

func TestOnWriteStore(t *testing.T) {
	for name, c := range map[string]struct {
		location string
		header   []string
		stored   bool
	}{
		"Content-Location is the target": {location: "/a", stored: true},
		"another Content-Location":       {location: "/b"},
		"another host's":                 {location: "http://other.example/a"},
		"none":                           {},
		"with credentials":               {location: "/a", header: []string{"Authorization", "Bearer x"}},
		"with a cookie":                  {location: "/a", header: []string{"Cookie", "a=b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			inBubble(t, counted(&asked, located(c.location)), rigOptions{}, storing(t), func(b *bubble) {
				b.do("GET", "/a").want(t, "before", 200, "1", "stored")
				b.do("PUT", "/a", c.header...).want(t, "write", 200, "2", "")
				if c.stored {
					b.do("GET", "/a").want(t, "read", 200, "2", "hit")
					b.invalidate(key("a"))
				}
				b.do("GET", "/a").want(t, "read", 200, "3", "fwd=")
			})
		})
	}
}

// What is invalidated while a write is at the origin, or right after its fence ended, makes its answer too old to keep.
func TestOnWriteStoreIsExclusive(t *testing.T) {
	t.Run("purge before the end", func(t *testing.T) {
		var asked atomic.Int64
		var purge func()
		backend := func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PUT" {
				purge()
			}
			return located("/a")(n, w, r)
		}
		inBubble(t, counted(&asked, backend), rigOptions{}, storing(t), func(b *bubble) {
			purge = func() { b.invalidate(key("a")) }
			b.do("PUT", "/a").want(t, "write", 200, "1", "")
			b.do("GET", "/a").want(t, "read", 200, "2", "fwd=")
		})
	})
	t.Run("purge after the end, before the answer is kept", func(t *testing.T) {
		var asked atomic.Int64
		var log *brokenLog
		inBubble(t, counted(&asked, located("/a")), withBrokenLog(&log), storing(t), func(b *bubble) {
			log.ended = func() { b.invalidate(key("a")) }
			b.do("PUT", "/a").want(t, "write", 200, "1", "")
			b.do("GET", "/a").want(t, "read", 200, "2", "fwd=")
		})
	})
	t.Run("two writes at once", func(t *testing.T) {
		var asked atomic.Int64
		slow := func(n int64, w http.ResponseWriter, r *http.Request) bool {
			<-time.After(time.Duration(n) * time.Second)
			return located("/a")(n, w, r)
		}
		inBubble(t, counted(&asked, slow), rigOptions{origin: upstream.Options{Timeout: time.Minute}}, storing(t), func(b *bubble) {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { b.do("PUT", "/a") })
			}
			wg.Wait()
			b.do("GET", "/a").want(t, "read", 200, "3", "fwd=")
		})
	})
}

func TestFenceStandsWhileTheOutcomeIsUnknown(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter, *http.Request){
		"500":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"timeout":    func(http.ResponseWriter, *http.Request) { <-time.After(5 * time.Second) },
		"breaks off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			var reads atomic.Int64
			backend := func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "PUT" {
					fail(w, r)
					return
				}
				<-time.After(100 * time.Millisecond)
				counted(&reads, nil)(w, r)
			}
			inBubble(t, backend, rigOptions{origin: upstream.Options{Timeout: 2 * time.Second}}, storing(t), func(b *bubble) {
				b.do("GET", "/a")
				if a := b.do("PUT", "/a"); a.status < 500 {
					t.Errorf("write: %d", a.status)
				}
				before := reads.Load()
				var wg sync.WaitGroup
				var got sync.Map
				for i := range 20 {
					wg.Go(func() { got.Store(b.do("GET", "/a").body, true) })
					if i == 0 {
						synctest.Wait() // it is at the origin
					}
				}
				wg.Wait()
				// Those that come while the first is at the origin, which may have read before the write came to it, share the next.
				if n := reads.Load() - before; n != 2 {
					t.Errorf("20 reads at once behind the fence asked the origin %d times, want once for the first, and once for all others", n)
				}
				synctest.Wait()
				b.do("GET", "/a").want(t, "nothing was stored", 200, "4", "fwd=")
				b.pass(31 * time.Second)
				b.do("GET", "/a").want(t, "after the hold", 200, "5", "stored")
				synctest.Wait()
				b.do("GET", "/a").want(t, "stored again", 200, "5", "hit")
			})
		})
	}
}

func TestRefusedWriteEndsItsFence(t *testing.T) {
	var asked atomic.Int64
	conflict := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PUT" {
			w.WriteHeader(http.StatusConflict)
		}
		return true
	}
	inBubble(t, counted(&asked, conflict), rigOptions{}, storing(t), func(b *bubble) {
		b.do("PUT", "/a").want(t, "write", 409, "1", "")
		b.do("GET", "/a").want(t, "read", 200, "2", "stored")
		synctest.Wait()
		b.do("GET", "/a").want(t, "read", 200, "2", "hit")
	})
}

// A write whose client leaves may have happened.
func TestWriteWhoseClientHangsUp(t *testing.T) {
	for name, kind := range map[string]policy.Kind{"cache-aside": policy.CacheAside, "write-through": policy.WriteThrough} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			backend := func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
				if r.Method == "PUT" {
					<-time.After(time.Second) // and commits, whether or not anybody still listens
				}
				return true
			}
			route := storing(t)
			route.Policy = kind
			decide(route)
			inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
				b.do("GET", "/a")
				ctx, hangUp := context.WithCancel(b.t.Context())
				done := make(chan answer, 1)
				go func() { done <- b.serve(ctx, "PUT", "/a", strings.NewReader("x")) }()
				synctest.Wait()
				hangUp()
				<-done
				b.do("GET", "/a").want(t, "read", 200, "3", "fwd=")
				synctest.Wait()
				if kind == policy.WriteThrough {
					b.do("GET", "/a").want(t, "behind the fence", 200, "4", "fwd=")
				}
			})
		})
	}
}

// RFC 9875 §3: the answer to a write names groups of copies that it has changed; the answer to a read cannot.
func TestCacheGroupInvalidation(t *testing.T) {
	var asked atomic.Int64
	backend := func(n int64, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/list" {
			w.Header().Set("Cache-Groups", `"products", "pages"`)
		}
		if r.URL.Path != "/list" {
			w.Header().Set("Cache-Group-Invalidation", `"products"`)
		}
		switch r.URL.Path {
		case "/refused":
			w.WriteHeader(http.StatusConflict)
		case "/failed":
			w.WriteHeader(http.StatusInternalServerError)
		}
		return true
	}
	r := newRig(t, counted(&asked, backend), rigOptions{}, routeFor(t, "all", nil, "/"))
	r.do("GET", "/list").want(t, "filled", 200, "1", "stored")
	r.do("GET", "/elsewhere").want(t, "a read", 200, "2", "stored")
	r.do("GET", "/list").want(t, "a read invalidates nothing", 200, "1", "hit")
	r.do("POST", "/refused").want(t, "a write that failed", 409, "*", "")
	r.do("GET", "/list").want(t, "a write that failed invalidates nothing", 200, "1", "hit")
	r.do("POST", "/failed").want(t, "a write that the origin failed at", 500, "*", "")
	r.do("GET", "/list").want(t, "what it may have done is to its own URL", 200, "1", "hit")
	r.do("POST", "/products").want(t, "a write", 200, "*", "")
	r.do("GET", "/list").want(t, "its group is gone", 200, "6", "detail=purged")
}

// A write that names too much is refused before anything is made unusable or sent: it stands for no more than it says, and
// nobody is to decide over all copies with one request.
func TestWriteThatNamesTooMuch(t *testing.T) {
	for _, kind := range []policy.Kind{policy.CacheAside, policy.WriteThrough} {
		t.Run(kind.String(), func(t *testing.T) {
			var asked atomic.Int64
			var regions, values []string
			for i := range 256 + 1 {
				regions = append(regions, "X-Region", fmt.Sprint(i))
				values = append(values, fmt.Sprint("q=", i))
			}
			search := routeFor(t, "search", func(r *policy.Route) {
				r.Policy, r.Key = kind, template(t, "s:{query.q}:{header.X-Region}")
			}, "/search")
			inBubble(t, counted(&asked, nil), rigOptions{routes: []*policy.Route{search}}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				b.do("GET", "/other").want(t, "before", 200, "1", "stored")
				b.do("GET", "/search?q=1").want(t, "before", 200, "2", "stored")
				position := b.ledger.Token()
				a := b.do("POST", "/search?"+strings.Join(values, "&"))
				a.want(t, "too many parameters", 400, "*", "detail=too-many-members")
				if !strings.Contains(a.body, "more than 256 values of the query parameter q") {
					t.Errorf("told %q", a.body)
				}
				b.do("POST", "/search", regions...).want(t, "too many fields", 400, "*", "detail=too-many-members")
				if now := b.ledger.Token(); now != position {
					t.Errorf("the ledger went from %d to %d", position.Position(), now.Position())
				}
				b.do("GET", "/other").want(t, "after", 200, "1", "hit")
				b.do("GET", "/search?q=1").want(t, "after", 200, "2", "hit")
				b.do("POST", "/search?"+strings.Join(values[1:], "&")).want(t, "as many as may be", 200, "3", "")
				b.do("GET", "/other").want(t, "after that", 200, "1", "hit")
				b.do("GET", "/search?"+strings.Join(values, "&")).want(t, "a read", 200, "4", "fwd=")
				b.do("GET", "/search?"+strings.Join(values, "&")).want(t, "again", 200, "5", "fwd=")
			})
		})
	}
}

// A read that comes while a write is under way does not share a fetch that was at the origin before the write was: another may have read by
// then what the write has put there, and no client sees time go backwards.
func TestReadsDuringAWriteDoNotShareOlderFetches(t *testing.T) {
	var value atomic.Int64
	backend := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			<-time.After(500 * time.Millisecond)
			value.Add(1)
			<-time.After(500 * time.Millisecond)
			return
		}
		read := value.Load()
		<-time.After(time.Second)
		fmt.Fprint(w, read)
	}
	inBubble(t, backend, rigOptions{origin: upstream.Options{Timeout: time.Minute}}, storing(t), func(b *bubble) {
		var at sync.WaitGroup
		at.Go(func() { b.do("PUT", "/a") })
		b.pass(100 * time.Millisecond)
		at.Go(func() { b.do("GET", "/a").want(t, "before the origin has done it", 200, "0", "fwd=") })
		b.pass(600 * time.Millisecond)
		for range 10 {
			at.Go(func() { b.do("GET", "/a").want(t, "after it has", 200, "1", "fwd=") }) // the write ends while they wait
		}
		at.Wait()
	})
}
