package proxy

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"cacheproxy/policy"
)

// What a flight has published does not change while others read it. A whole that breaks off can complete parts of which two
// gaps were missing: the copy then has the members of all of them, and the answer on its way keeps its own.
func TestPublishedAnswerDoesNotChange(t *testing.T) {
	for range 20 {
		breaks := make(chan struct{})
		s := newLibrary(letters, "Etag", `"v"`, "Cache-Control", "max-age=60")
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" {
				return false
			}
			w.Header().Set("Content-Length", "26")
			io.WriteString(w, letters[:22])
			http.NewResponseController(w).Flush() //nolint:errcheck // the client waits for it
			<-breaks
			panic(http.ErrAbortHandler)
		}
		r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Range = policy.RangePart }, "/"))
		for _, part := range []string{"0-4", "8-9", "20-25"} {
			r.do("GET", "/a", rng(part)...)
			waitFor(t, r.proxy.tasks.none)
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = r.try("GET", "/a", nil) }) // the answer breaks off
		waitFor(t, func() bool { return len(s.asked()) == 4 })
		key := ""
		waitFor(t, func() bool {
			r.proxy.flights.mu.Lock()
			defer r.proxy.flights.mu.Unlock()
			for k, f := range r.proxy.flights.open {
				key = k
				return f.fill != nil
			}
			return false
		})
		done := make(chan struct{})
		for range 2 {
			all.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						r.proxy.flights.board(passenger{key: key, limit: 1 << 30}, func() bool { return true }, nil)
					}
				}
			})
		}
		close(breaks)
		waitFor(t, r.proxy.tasks.none)
		close(done)
		all.Wait()
		if a := r.do("GET", "/a"); a.body != letters {
			t.Fatalf("afterwards: %q", a.body)
		}
	}
}
