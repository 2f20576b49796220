package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// herd sends n requests at once, each with further header fields of its own, and returns the answers.
func (b *bubble) herd(n int, target string, header func(i int) []string) []answer {
	answers := make([]answer, n)
	done := make(chan struct{})
	for i := range n {
		go func() {
			answers[i] = b.do("GET", target, header(i)...)
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
	synctest.Wait()
	return answers
}

func alike(int) []string { return nil }

// unshared are answers for nobody but the one who asks.
var unshared = map[string]func(w http.ResponseWriter){
	"400":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) },
	"403":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
	"404":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
	"406":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotAcceptable) },
	"429":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) },
	"431":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge) },
	"302":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusFound) },
	"Set-Cookie": func(w http.ResponseWriter) { w.Header().Set("Set-Cookie", "a=1") },
	"private":    func(w http.ResponseWriter) { w.Header().Set("Cache-Control", "private") },
	"no-store":   func(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") },
	"Vary: *":    func(w http.ResponseWriter) { w.Header().Set("Vary", "*") },
	"malformed":  func(w http.ResponseWriter) { w.Header().Set("Cache-Control", "max-age=0; private") },
}

// questioned are the routes on which what an answer shows must not go beyond its question.
func questioned(t *testing.T) map[string]*policy.Route {
	route := func(change func(*policy.Route)) *policy.Route {
		return routeFor(t, "all", func(r *policy.Route) {
			r.TTL, r.Key = 10*time.Second, template(t, "a")
			change(r)
		}, "/")
	}
	return map[string]*policy.Route{
		"plain":       route(func(*policy.Route) {}),
		"compression": route(func(r *policy.Route) { r.Compression = httpcache.Gzip }),
		"all forward": route(func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll }),
	}
}

// What the origin answers to what only one client says makes nothing uncacheable for others, nor has them ask one by one: not before
// there is a copy, and not when it has expired. Where what the client prefers is part of the key, the copy of the others is not its answer.
func TestOneClientsAnswerIsNoWordToOthers(t *testing.T) {
	tried := allUnlessRace()
	for _, field := range []string{"Accept", "Accept-Language", "Accept-Charset", "Cdn-Loop"} {
		for about, refuse := range unshared {
			for name, route := range questioned(t) {
				if !tried() {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", field, about, name), func(t *testing.T) {
					strange, apart := "strange", slices.Contains(policy.PreferencesOf(route), field)
					if !apart {
						strange = "strange;v=1"
					}
					var asked atomic.Int64
					origin := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
						<-time.After(time.Second)
						w.Header().Set("Content-Type", "application/json")
						if r.Header.Get(field) == strange {
							refuse(w)
						}
						return true
					}
					inBubble(t, counted(&asked, origin), rigOptions{}, route, func(b *bubble) {
						for round := range 3 {
							b.do("GET", "/a", field, strange)
							before := asked.Load()
							b.herd(50, "/a", alike)
							if n := asked.Load() - before; n != 1 {
								t.Errorf("round %d: a herd of 50 cost the origin %d requests", round, n)
							}
							b.do("GET", "/a").want(t, "after it", 200, "*", "; hit")
							if a := b.do("GET", "/a", field, strange); strings.Contains(a.header.Get("Cache-Status"), "; hit") == apart {
								t.Errorf("the strange one got %d, Cache-Status %q", a.status, a.header.Get("Cache-Status"))
							}
							b.pass(11 * time.Second)
						}
					})
				})
			}
		}
	}
}

// What is remembered of an answer that was not to be shared ends like a copy, and with the first answer that is.
func TestNotSharedIsRememberedAsLongAsItIsTrue(t *testing.T) {
	tried := allUnlessRace()
	for about, end := range map[string]func(b *bubble, good *atomic.Bool){
		"a write of the URL":   func(b *bubble, good *atomic.Bool) { good.Store(true); b.do("PUT", "/a") },
		"a purge by name":      func(b *bubble, good *atomic.Bool) { good.Store(true); b.invalidate(key("a")) },
		"the first good reply": func(b *bubble, good *atomic.Bool) { good.Store(true); b.do("GET", "/a"); synctest.Wait() },
	} {
		for what, refuse := range unshared {
			for name, route := range questioned(t) {
				if !tried() {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", about, what, name), func(t *testing.T) {
					var asked atomic.Int64
					var good atomic.Bool
					origin := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
						<-time.After(time.Second)
						if !good.Load() {
							refuse(w)
						}
						return true
					}
					inBubble(t, counted(&asked, origin), rigOptions{}, route, func(b *bubble) {
						b.do("GET", "/a")
						synctest.Wait()
						end(b, &good)
						before := asked.Load()
						b.herd(50, "/a", alike)
						if n := asked.Load() - before; n > 1 {
							t.Errorf("a herd of 50 cost the origin %d requests", n)
						}
						b.do("GET", "/a").want(t, "after it", 200, "*", "; hit")
					})
				})
			}
		}
	}
}

// While an answer is for nobody else, those who ask the same do not wait for each other, and those who ask something else wait for two
// others at most.
func TestNotSharedIsNotWaitedFor(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		<-time.After(time.Second)
		w.Header().Set("Cache-Control", "private")
		io.WriteString(w, "mine")
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		start := time.Now()
		b.herd(50, "/same", alike)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("50 who ask the same took %v", took)
		}
		start = time.Now()
		b.herd(50, "/other", func(i int) []string { return []string{"Accept-Language", fmt.Sprintf("x-%d", i)} })
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("50 who ask different things took %v", took)
		}
	})
}

// Where all fields are forwarded, a request shares a fetch only where all that is forwarded is equal, the trace apart.
func TestOnlyEqualQuestionsAreSharedWhereAllIsForwarded(t *testing.T) {
	for field, shared := range map[string]bool{
		"X-Api-Key": false, "User-Agent": false, "Referer": false, "Accept": false, "X-Original-Path": false, "Via": false,
		"Traceparent": true, "Tracestate": true, "X-Request-Id": true, "X-B3-Traceid": true, "Cf-Ray": true,
	} {
		t.Run(field, func(t *testing.T) {
			var asked atomic.Int64
			origin := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				<-time.After(time.Second)
				w.Header().Set("Cache-Control", "max-age=0, stale-if-error=60")
				w.WriteHeader(http.StatusServiceUnavailable) // which is shared with all who wait
				fmt.Fprint(w, r.Header.Get(field))
				return false
			}
			route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.ForwardHeaders = 0, policy.ForwardAll }, "/")
			inBubble(t, counted(&asked, origin), rigOptions{}, route, func(b *bubble) {
				answers := b.herd(10, "/a", func(i int) []string { return []string{field, fmt.Sprint("v", i%2)} })
				want := map[bool]int64{true: 1, false: 2}[shared]
				if n := asked.Load(); n != want {
					t.Errorf("the origin was asked %d times, want %d", n, want)
				}
				for i, a := range answers {
					if !shared && !strings.HasPrefix(a.body, fmt.Sprint("v", i%2)) {
						t.Errorf("v%d was answered %q", i%2, a.body)
					}
				}
			})
		})
	}
}
