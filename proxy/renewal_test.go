package proxy

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// noting is an origin that notes what it is asked, but for the trace and what a fill says of itself.
type noting struct {
	mu   sync.Mutex
	seen []string
	vary string
	bad  func(w http.ResponseWriter) bool // of what is asked from now on; it reports whether it has answered
}

func (o *noting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	h := r.Header.Clone()
	for name := range h {
		if httpcache.IsTrace(name) || httpcache.IsPrecondition(name) {
			delete(h, name)
		}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lines = append(lines, fmt.Sprintf("%s: %q", name, h[name]))
	}
	o.seen = append(o.seen, fmt.Sprintf("%s %s %s\n%s", r.Method, r.Host, r.RequestURI, strings.Join(lines, "\n")))
	bad := o.bad
	o.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain")
	if o.vary != "" {
		w.Header().Set("Vary", o.vary)
	}
	if bad == nil || !bad(w) {
		io.WriteString(w, "good")
	}
}

func (o *noting) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

func (o *noting) fail(bad func(w http.ResponseWriter) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bad = bad
}

// A renewal in the background asks what was asked when the copy was fetched, whatever else its last reader says.
func TestRenewalAsksWhatFilledTheCopy(t *testing.T) {
	said := []string{
		"Accept", "Accept-Language", "Accept-Charset", "Accept-Encoding", "Via", "Cdn-Loop", "User-Agent", "Referer", "X-Api-Key", "X-Real-Ip",
		"X-Theme", "Surrogate-Capability", "Content-Type", "Prefer", "Traceparent",
	}
	routes := map[string]func(*policy.Route){
		"listed":  func(*policy.Route) {},
		"dropped": func(r *policy.Route) { r.OnUnlisted = policy.UnlistedDrop },
		"all":     func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll },
		"gzip":    func(r *policy.Route) { r.Compression = httpcache.Gzip },
	}
	fills := map[string][]string{
		"nothing said": nil,
		"a browser":    {"Accept", "text/html, */*;q=0.8", "Accept-Language", "de-CH, de;q=0.9", "Accept-Encoding", "gzip, br", "X-Tenant", "7"},
	}
	tried := allUnlessRace()
	for name, change := range routes {
		for first, filled := range fills {
			for _, vary := range []string{"", "Accept-Language", "Accept-Encoding, X-Theme"} {
				for _, field := range said {
					if strings.Contains(vary, field) || !tried() { // it has chosen the copy
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/Vary %s/%s", name, first, vary, field), func(t *testing.T) {
						o := &noting{vary: vary}
						route := routeFor(t, "all", func(r *policy.Route) {
							r.Policy, r.TTL, r.MinHits, r.RefreshAt = policy.RefreshAhead, 100*time.Second, 1, 0.1
							r.Headers = []string{"X-Tenant"}
							change(r)
						}, "/")
						inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
							b.do("GET", "/a", filled...).want(t, "fill", 200, "good", "stored")
							fetched := o.asked() // twice, where it turned out that all that the client prefers matters
							b.pass(90 * time.Second)
							var stranger []string
							for i := 0; i < len(filled); i += 2 {
								if filled[i] != field {
									stranger = append(stranger, filled[i], filled[i+1])
								}
							}
							a := b.do("GET", "/a", append(stranger, field, "strange")...)
							synctest.Wait()
							asked := o.asked()
							if len(asked) == len(fetched) || strings.Contains(a.header.Get("Cache-Status"), "fwd") {
								return // it was another variant's, or went past the cache
							}
							if len(asked) != len(fetched)+1 || asked[len(fetched)] != fetched[len(fetched)-1] {
								t.Errorf("the copy was fetched and renewed by\n%s", strings.Join(asked, "\n\n"))
							}
						})
					})
				}
			}
		}
	}
}

// Whatever a renewal brings that is no better than the copy, the copy is what its readers get as long as it is fresh, and the origin is
// left alone for a while.
func TestBadRenewalDisplacesNothing(t *testing.T) {
	bad := maps.Clone(unshared)
	for _, code := range []int{401, 405, 410, 414, 500, 502, 503, 504, 507} {
		bad[fmt.Sprint(code)] = func(w http.ResponseWriter) { w.WriteHeader(code) }
		bad[fmt.Sprint(code, " that is to be kept")] = func(w http.ResponseWriter) {
			w.Header().Set("Cache-Control", "max-age=600")
			w.WriteHeader(code)
		}
	}
	bad["no answer"] = func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	bad["broken off"] = func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	tried := allUnlessRace()
	for what, answer := range bad {
		for name, route := range questioned(t) {
			if !tried() {
				continue
			}
			t.Run(what+"/"+name, func(t *testing.T) {
				o := &noting{}
				route.Policy, route.RenewsAhead, route.TTL, route.MinHits, route.RefreshAt = policy.RefreshAhead, true, 100*time.Second, 1, 0.1
				inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
					b.do("GET", "/a").want(t, "fill", 200, "good", "stored")
					b.pass(80 * time.Second)
					o.fail(func(w http.ResponseWriter) bool { answer(w); return true })
					for range 10 {
						b.do("GET", "/a").want(t, "a fresh copy", 200, "good", "; hit; ttl=")
						synctest.Wait()
					}
					if n := len(o.asked()); n != 2 {
						t.Errorf("the origin was asked %d times in a moment, and failed at the second", n)
					}
					b.pass(failedPause)
					b.do("GET", "/a").want(t, "after the pause", 200, "good", "; hit; ttl=")
					synctest.Wait()
					if n := len(o.asked()); n != 3 {
						t.Errorf("after the pause it was asked %d times", n)
					}
				})
			})
		}
	}
}

// Once the origin has failed, copies that may stand in for it do so at once, and it is asked by one request for each pause, for which
// nobody else waits.
func TestFailingOriginIsAskedOnceAPause(t *testing.T) {
	for name, backend := range map[string]func(w http.ResponseWriter){
		"an error":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"no answer": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"hanging":   func(http.ResponseWriter) { <-time.After(3 * time.Second); panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			o := &noting{}
			route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleIfError = 10*time.Second, time.Hour }, "/")
			inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
				b.do("GET", "/a").want(t, "fill", 200, "good", "stored")
				b.pass(11 * time.Second)
				o.fail(func(w http.ResponseWriter) bool { backend(w); return true })
				b.do("GET", "/a").want(t, "the first that it fails", 200, "good", "fwd=stale")
				start, slow := time.Now(), atomic.Int64{}
				end := time.After(time.Minute)
				var reads sync.WaitGroup
				for n := 0; ; n++ {
					select {
					case <-end:
					case <-time.After(100 * time.Millisecond):
						for _, method := range []string{"GET", "HEAD"} {
							reads.Go(func() {
								began := time.Now()
								a := b.do(method, "/a")
								a.want(t, fmt.Sprint("after ", time.Since(start)), 200, map[string]string{"GET": "good"}[method], "")
								if time.Since(began) > 0 {
									slow.Add(1)
								}
							})
						}
						continue
					}
					break
				}
				reads.Wait()
				// After pauses of 5, 10, 20 and 40 seconds, less a quarter at most, by a GET or by a HEAD.
				n := len(o.asked()) - 2
				if n < 3 || n > 5 {
					t.Errorf("the origin was asked %d times in a minute", n)
				}
				if slow.Load() > int64(n) {
					t.Errorf("%d reads waited for %d answers", slow.Load(), n)
				}
				o.fail(nil)
				b.pass(maxFailedPause)
				b.do("GET", "/a").want(t, "the origin is well again", 200, "good", "fwd=stale; fwd-status=200; stored")
				b.do("GET", "/a").want(t, "a new copy", 200, "good", "; hit; ttl=10")
			})
		})
	}
}

// The pause is the one that the origin asks for.
func TestFailingOriginNamesThePause(t *testing.T) {
	o := &noting{}
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleIfError = 10*time.Second, time.Hour }, "/")
	inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a").want(t, "fill", 200, "good", "stored")
		b.pass(11 * time.Second)
		o.fail(func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		for range 29 {
			b.do("GET", "/a").want(t, "meanwhile", 200, "good", "ttl=-")
			b.pass(time.Second)
		}
		if n := len(o.asked()) - 1; n != 1 {
			t.Errorf("the origin was asked %d times in the time for which it wants to be left alone", n)
		}
		o.fail(nil)
		b.pass(time.Second)
		b.do("GET", "/a").want(t, "after it", 200, "good", "stored")
	})
}

// A client that takes its time to read keeps nobody from asking again.
func TestSlowReaderIsNoProbe(t *testing.T) {
	o := &noting{}
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleIfError = 10*time.Second, time.Hour }, "/")
	inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a").want(t, "fill", 200, "good", "stored")
		b.pass(11 * time.Second)
		o.fail(func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusServiceUnavailable); return true })
		b.do("GET", "/a").want(t, "the first that it fails", 200, "good", "fwd=stale")
		b.pass(failedPause)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			b.proxy.ServeHTTP(slowWriter{httptest.NewRecorder()}, httptest.NewRequest("GET", "/a", nil))
		}()
		b.pass(20 * time.Second)
		o.fail(nil)
		b.do("GET", "/a").want(t, "while it reads", 200, "good", "fwd-status=200; stored")
		<-gone
	})
}

// slowWriter is a client that reads for an hour.
type slowWriter struct{ *httptest.ResponseRecorder }

func (w slowWriter) Write(p []byte) (int, error) {
	<-time.After(time.Hour)
	return w.ResponseRecorder.Write(p)
}

// A copy that a 304 confirms was asked for when it was fetched, and not by the one who has it confirmed.
func TestConfirmedCopyKeepsItsQuestion(t *testing.T) {
	o := &noting{}
	origin := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		if r.Header.Get("If-None-Match") != "" {
			o.fail(func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusNotModified); return true })
		}
		o.ServeHTTP(w, r)
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleWhileRevalidate = 10*time.Second, 10*time.Second }, "/")
	inBubble(t, origin, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a", "Accept-Encoding", "gzip").want(t, "fill", 200, "good", "stored")
		b.pass(30 * time.Second)
		b.do("GET", "/a", "Accept-Encoding", "br").want(t, "confirmed", 200, "good", "fwd-status=304; stored")
		b.pass(15 * time.Second)
		b.do("GET", "/a", "Accept-Encoding", "zstd").want(t, "stale", 200, "good", "; hit; ttl=-")
		synctest.Wait()
		if asked := o.asked(); len(asked) != 3 || asked[2] != asked[0] {
			t.Errorf("the copy was fetched, confirmed and renewed by\n%s", strings.Join(asked, "\n\n"))
		}
	})
}
