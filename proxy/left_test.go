package proxy

import (
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/proxy/upstream"
)

// What a proxy holds of others is given back when what it held it for is over: places of max_in_flight and of max_streams, bodies of
// the origin, which are connections that are not idle, requests under way, and goroutines. Every rig asserts at its end that nothing
// of it is left; so does every test for all that it does with one.

// openConns counts the connections of a server.
type openConns struct{ n atomic.Int64 }

func (o *openConns) watch(s *http.Server) {
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			o.n.Add(1)
		case http.StateClosed, http.StateHijacked:
			o.n.Add(-1)
		}
	}
}

// underWay counts the requests in a handler.
type underWay struct {
	http.Handler
	n atomic.Int64
}

func (u *underWay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.n.Add(1)
	defer u.n.Add(-1)
	u.Handler.ServeHTTP(w, r)
}

// wantNoneLeft fails the test unless a number of something comes to be at most so many.
func wantNoneLeft(t testing.TB, what string, most int, left func() int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for left() > most {
		if time.Now().After(deadline) {
			t.Errorf("%s: %d are left, want %d", what, left(), most)
			return
		}
		<-time.After(time.Millisecond)
	}
}

// wantPlacesFree fails the test unless an upstream's places, streams and queue come to be empty.
func wantPlacesFree(t testing.TB, o *upstream.Upstream) {
	t.Helper()
	wantNoneLeft(t, "places", 0, o.InFlight)
	wantNoneLeft(t, "streams", 0, o.Streams)
	wantNoneLeft(t, "requests that wait for a place", 0, o.Queued)
}

// origins are the upstreams of the configuration in force.
func (r *rig) origins() (all []*upstream.Upstream) {
	all = append(all, r.proxy.config().unmatched.Origin)
	for _, route := range r.proxy.config().routes {
		all = append(all, route.Origin)
	}
	return all
}

// wantGoroutinesBack is to be called before anything is started; at the end of the test it fails it unless as many goroutines are
// there as then.
func wantGoroutinesBack(t testing.TB) {
	t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		wantNoneLeft(t, "goroutines", before, runtime.NumGoroutine)
		if t.Failed() && runtime.NumGoroutine() > before {
			all := make([]byte, 1<<20)
			t.Logf("%s", all[:runtime.Stack(all, true)])
		}
	})
}

// newBack is an origin whose connections are counted.
func newBack(t testing.TB, h http.HandlerFunc) (*httptest.Server, *openConns) {
	t.Helper()
	back, open := httptest.NewUnstartedServer(h), &openConns{}
	open.watch(back.Config)
	back.Start()
	return back, open
}
