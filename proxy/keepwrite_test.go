package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// keeping are the routes that keep the answers to writes: with a fence around the write, and without.
var keeping = map[string]func(r *policy.Route){
	"write-through": func(r *policy.Route) { r.Policy, r.FenceHold = policy.WriteThrough, 30*time.Second },
	"cache-aside":   func(*policy.Route) {},
}

// keepingRoute has a copy with a name, a tag of its own and prefixes.
func keepingRoute(t *testing.T, change func(r *policy.Route)) *policy.Route {
	return routeFor(t, "v", func(r *policy.Route) {
		r.OnWrite, r.Key, r.Tags = policy.OnWriteStore, template(t, "v:{id}"), []policy.Template{template(t, "own-{id}")}
		change(r)
	}, "/v/{id}")
}

// edited is an origin whose writes answer with what they leave, once during has returned. It gets the number of the request.
func edited(during func(n int64)) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		h := w.Header()
		h.Set("Cache-Control", "max-age=60")
		h.Set("Surrogate-Key", "said")
		h.Set("Cache-Groups", `"group"`)
		if r.Method == "POST" {
			h.Set("Content-Location", r.URL.RequestURI())
			if during != nil {
				during(i)
			}
		}
		fmt.Fprint(w, i)
	}
}

// purges are all the ways in which a copy of /v/1 can be made unusable.
var purges = map[string]func(b *bubble){
	"key":           func(b *bubble) { b.invalidate(key("v:1")) },
	"URL":           func(b *bubble) { b.invalidate(policy.URLMembers("example.com", "/v/1", "", false)...) },
	"path":          func(b *bubble) { b.invalidate(policy.PathMembers("", "/v/1")...) },
	"prefix":        func(b *bubble) { b.invalidate(policy.PrefixMembers("", "/v")...) },
	"tag":           func(b *bubble) { b.invalidate(tag("own-1")) },
	"tag as said":   func(b *bubble) { b.invalidate(tag("said")) },
	"group":         func(b *bubble) { b.invalidate(policy.NewMember(policy.KindGroup, "http://example.com:80 group")) },
	"route":         func(b *bubble) { b.invalidate(policy.NewMember(policy.KindRoute, "v")) },
	"all":           func(b *bubble) { b.invalidate(policy.All) },
	"another write": func(b *bubble) { b.do("POST", "/bulk/1") },
	"softly": func(b *bubble) {
		b.order(invalidation.Order{Members: []policy.Member{tag("said")}, Soft: true})
	},
	"here alone": func(b *bubble) {
		b.order(invalidation.Order{Members: []policy.Member{tag("said")}, Wait: invalidation.WaitLocal})
	},
	"marks are given up": func(b *bubble) {
		b.invalidate(tag("another"))
		b.ledger.RaiseFloor(b.ledger.Token().Position())
	},
}

func (b *bubble) order(o invalidation.Order) {
	if _, err := b.log.Invalidate(b.t.Context(), o); err != nil {
		b.t.Error(err)
	}
}

// A copy that was purged while the write was at the origin, or right after its end while the answer still comes, does not come
// back with the answer.
func TestAnswerToAWriteIsNotKeptAfterAPurge(t *testing.T) {
	bulk := routeFor(t, "bulk", func(r *policy.Route) {
		r.Policy = policy.Bypass
		r.Invalidates = &policy.Invalidates{Tags: []policy.Template{template(t, "own-{id}")}}
	}, "/bulk/{id}")
	for kind, change := range keeping {
		for way, purge := range purges {
			t.Run(kind+"/while it is at the origin/"+way, func(t *testing.T) {
				var b *bubble
				backend := edited(func(n int64) {
					if n == 2 {
						purge(b)
					}
				})
				inBubble(t, backend, rigOptions{routes: []*policy.Route{bulk}}, keepingRoute(t, change), func(in *bubble) {
					b = in
					b.do("GET", "/v/1").want(t, "before", 200, "1", "stored")
					b.do("POST", "/v/1").want(t, "the write", 200, "2", "")
					if a := b.do("GET", "/v/1"); a.body == "2" {
						t.Errorf("the answer was kept: %s", a.header["Cache-Status"])
					}
				})
			})
			t.Run(kind+"/while its answer comes/"+way, func(t *testing.T) {
				var ended chan struct{}
				var n atomic.Int64
				backend := func(w http.ResponseWriter, r *http.Request) {
					i := n.Add(1)
					if r.URL.Path == "/bulk/1" {
						return
					}
					w.Header().Set("Surrogate-Key", "said")
					w.Header().Set("Cache-Groups", `"group"`)
					w.Header().Set("Cache-Control", "max-age=60")
					w.Header().Set("Content-Location", "/v/1")
					fmt.Fprint(w, i)
					if i == 1 {
						w.(http.Flusher).Flush()
						<-ended
					}
				}
				inBubble(t, backend, rigOptions{routes: []*policy.Route{bulk}}, keepingRoute(t, change), func(b *bubble) {
					ended = make(chan struct{})
					var write sync.WaitGroup
					write.Go(func() { b.do("POST", "/v/1").want(t, "the write", 200, "1", "") })
					synctest.Wait()
					purge(b)
					close(ended)
					write.Wait()
					if a := b.do("GET", "/v/1"); a.body == "1" {
						t.Errorf("the answer was kept: %s", a.header["Cache-Status"])
					}
				})
			})
		}
	}
}

// What was purged meanwhile and has nothing to do with it does not keep an answer from being kept: on a busy proxy something
// is purged all the time.
func TestAnswerToAWriteIsKeptWhileOthersArePurged(t *testing.T) {
	for kind, change := range keeping {
		t.Run(kind, func(t *testing.T) {
			var b *bubble
			backend := edited(func(n int64) {
				for i := range 1000 {
					b.invalidate(key(fmt.Sprint("v:", i+2)), tag(fmt.Sprint("own-", i+2)))
					b.invalidate(policy.URLMembers("", fmt.Sprint("/v/", i+2), "", false)...)
				}
			})
			inBubble(t, backend, rigOptions{}, keepingRoute(t, change), func(in *bubble) {
				b = in
				b.do("GET", "/v/1").want(t, "before", 200, "1", "stored")
				b.do("POST", "/v/1").want(t, "the write", 200, "2", "")
				b.do("GET", "/v/1").want(t, "the answer", 200, "2", "hit")
				b.invalidate(tag("said"))
				b.do("GET", "/v/1").want(t, "after a purge by a tag of the answer", 200, "3", "stored")
			})
		})
	}
}

// What the answer itself says has changed is no reason not to keep it; that the same was purged meanwhile is.
func TestAnswerToAWriteNamesItsOwnGroup(t *testing.T) {
	for kind, change := range keeping {
		for _, purged := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, purged %v", kind, purged), func(t *testing.T) {
				var b *bubble
				answers := edited(func(int64) {
					if purged {
						purges["group"](b)
					}
				})
				backend := func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Cache-Group-Invalidation", `"group"`)
					answers(w, r)
				}
				inBubble(t, backend, rigOptions{}, keepingRoute(t, change), func(in *bubble) {
					b = in
					b.do("POST", "/v/1").want(t, "the write", 200, "1", "")
					a := b.do("GET", "/v/1")
					if kept := a.body == "1"; kept == purged {
						t.Errorf("got %q, %s", a.body, a.header["Cache-Status"])
					}
				})
			})
		}
	}
}

// Of two writes at once nobody knows which the origin has made last.
func TestAnswersToWritesThatOverlapAreNotKept(t *testing.T) {
	for kind, change := range keeping {
		t.Run(kind, func(t *testing.T) {
			slow := edited(func(n int64) { <-time.After(time.Duration(n) * time.Second) })
			o := rigOptions{origin: upstream.Options{Timeout: time.Minute}}
			inBubble(t, slow, o, keepingRoute(t, change), func(b *bubble) {
				var writes sync.WaitGroup
				for range 3 {
					writes.Go(func() { b.do("POST", "/v/1") })
				}
				writes.Wait()
				b.do("GET", "/v/1").want(t, "read", 200, "4", "stored")
			})
		})
	}
}

// An answer that takes longer than marks are kept for cannot be judged any more.
func TestAnswerToAWriteThatTakesForEverIsNotKept(t *testing.T) {
	for kind, change := range keeping {
		t.Run(kind, func(t *testing.T) {
			slow := edited(func(n int64) {
				if n == 1 {
					<-time.After(invalidation.MaxFill + time.Second)
				}
			})
			inBubble(t, slow, rigOptions{origin: upstream.Options{Timeout: time.Hour}}, keepingRoute(t, change), func(b *bubble) {
				b.do("POST", "/v/1").want(t, "the write", 200, "1", "")
				b.do("GET", "/v/1").want(t, "read", 200, "2", "stored")
			})
		})
	}
}

// fenceless is a log that puts up no fences.
type fenceless struct{ invalidation.Log }

func (fenceless) Begin(context.Context, []policy.Member) (*invalidation.Fence, error) {
	return nil, errors.New("no fence today")
}

// A write that goes on without its fence is judged like one of a route that has none.
func TestAnswerToAWriteWithoutItsFence(t *testing.T) {
	for _, purged := range []string{"", "tag as said", "key"} {
		t.Run("purged: "+purged, func(t *testing.T) {
			var b *bubble
			backend := edited(func(int64) {
				if purged != "" {
					purges[purged](b)
				}
			})
			o := rigOptions{log: func(l *invalidation.Local) invalidation.Log { return fenceless{l} }}
			route := keepingRoute(t, func(r *policy.Route) { r.Policy = policy.WriteThrough })
			route.RefusesWrites = false
			inBubble(t, backend, o, route, func(in *bubble) {
				b = in
				b.do("POST", "/v/1").want(t, "the write", 200, "1", "")
				a := b.do("GET", "/v/1")
				if kept := a.body == "1"; kept != (purged == "") {
					t.Errorf("got %q, %s", a.body, strings.Join(a.header["Cache-Status"], ", "))
				}
			})
		})
	}
}
