package proxy

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// Clients that ask and leave pile up no fetches at an origin without a limit: sixteen go on for the sake of their copies. What somebody
// waits for is none of these.
func TestFetchesThatNobodyWaitsForAreBounded(t *testing.T) {
	for _, c := range []struct {
		limit, want int
	}{{0, 16}, {30, 30}} {
		var asked atomic.Int64
		hang := make(chan struct{})
		backend := func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return true
		}
		o := rigOptions{origin: upstream.Options{MaxInFlight: c.limit, Timeout: time.Hour, QueueTimeout: time.Second}}
		inBubble(t, counted(&asked, backend), o, routeFor(t, "all", func(r *policy.Route) { r.WaitTimeout = time.Hour }, "/"), func(b *bubble) {
			hang = make(chan struct{})
			origin := b.proxy.config().unmatched.Origin
			var all sync.WaitGroup
			leave := func(target string) {
				ctx, cancel := context.WithCancel(b.t.Context())
				done := make(chan struct{})
				go func() { defer close(done); b.serve(ctx, "GET", target, nil) }()
				synctest.Wait()
				cancel()
				<-done
				synctest.Wait()
			}
			for i := range 40 {
				leave(fmt.Sprintf("/%d", i))
			}
			if n := origin.InFlight(); n != c.want {
				t.Errorf("limit %d: %d at the origin, want %d", c.limit, n, c.want)
			}
			if c.limit > 0 {
				close(hang)
				synctest.Wait()
				return
			}
			ctx, cancel := context.WithCancel(b.t.Context())
			first := make(chan struct{})
			go func() { defer close(first); b.serve(ctx, "GET", "/joined", nil) }()
			synctest.Wait()
			for range 3 {
				all.Go(func() { b.do("GET", "/joined").want(t, "who waits on", 200, "*", "collapsed") })
			}
			synctest.Wait()
			cancel()
			<-first
			leave("/joined")
			if n := origin.InFlight(); n != c.want+1 {
				t.Errorf("%d at the origin, want one more, for which three wait", n)
			}
			all.Go(func() { b.do("GET", "/39").want(t, "who comes after an end", 200, "*", "fwd=uri-miss") })
			synctest.Wait()
			close(hang)
			all.Wait()
			synctest.Wait()
			b.do("GET", "/0").want(t, "one that went on", 200, "*", "hit")
			hang = make(chan struct{})
			for i := range 20 {
				leave(fmt.Sprintf("/again/%d", i))
			}
			if n := origin.InFlight(); n != c.want {
				t.Errorf("%d at the origin after all of it, want %d again", n, c.want)
			}
			close(hang)
		})
	}
}
