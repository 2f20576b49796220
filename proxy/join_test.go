package proxy

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// TestLateRequestsDoNotShareOlderFlights holds the join rule step by step: a request that arrives after an invalidation gets
// nothing from a fetch that began before it, whether the name invalidated was known beforehand (key) or only the answer
// tells it (tag). Who was there before may have the older answer.
func TestLateRequestsDoNotShareOlderFlights(t *testing.T) {
	for name, member := range map[string]policy.Member{"key": key("a"), "tag": tag("t")} {
		t.Run(name, func(t *testing.T) {
			var version, asked atomic.Int64
			arrived, release := make(chan struct{}), make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				seen := version.Load()
				if asked.Add(1) == 1 {
					close(arrived)
					<-release
				}
				w.Header().Set("Surrogate-Key", "t")
				fmt.Fprint(w, seen)
			}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Key = template(t, "a") }, "/"))
			early, late := make(chan answer, 1), make(chan answer, 1)
			go func() { early <- r.do("GET", "/a") }()
			<-arrived
			version.Store(1)
			if _, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{member}}); err != nil {
				t.Fatal(err)
			}
			go func() { late <- r.do("GET", "/a") }()
			waitFor(t, func() bool { return asked.Load() == 2 || waiters(r) == 1 })
			close(release)
			if a := <-early; a.body != "0" {
				t.Errorf("the request that was there before got %q", a.body)
			}
			if a := <-late; a.body != "1" {
				t.Errorf("the request that came after the purge got version %q", a.body)
			}
			if a := r.do("GET", "/a"); a.body != "1" {
				t.Errorf("the next request got version %q", a.body)
			}
		})
	}
}

// waiters is how many requests wait for flights.
func waiters(r *rig) int { return r.proxy.fills.Load().Waiters }
