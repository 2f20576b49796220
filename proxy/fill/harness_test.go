package fill

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
	"cacheproxy/test/references"
)

// rig is a filler with a route to an origin on real sockets.
type rig struct {
	*Filler
	t     testing.TB
	route *Route
}

func newRig(t testing.TB, origin http.HandlerFunc, below ...store.Tier) *rig {
	t.Helper()
	made := references.Made()
	server := httptest.NewServer(origin)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	shop := upstream.New(upstream.Options{Name: "shop", URL: address, Timeout: 30 * time.Second, MaxInFlight: 1000})
	r := &policy.Route{Name: "all", Upstream: "shop", Policy: policy.CacheAside, TTL: time.Minute, WaitTimeout: 30 * time.Second}
	f := New(Options{Store: store.New(store.NewMemory(16<<20), below...), Ledger: invalidation.NewLedger(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	t.Cleanup(func() {
		f.Close()
		waitFor(t, func() bool { return shop.InFlight()+shop.Streams()+shop.Queued() == 0 })
		shop.CloseIdle()
		references.Empty(below)
		references.WantAllFree(t, made, f.store)
	})
	return &rig{f, t, NewRoute(r, shop, observe.NewMetrics("test"))}
}

// request asks for /a, with header fields as name, value, name, value.
func (r *rig) request(header ...string) *Request {
	r.t.Helper()
	target, err := httpcache.ParseTarget("http", "shop.test", "/a")
	if err != nil {
		r.t.Fatal(err)
	}
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &Request{Route: r.route, Target: target, Key: "/a", URLKey: "/a", Header: h, Forward: http.Header{}, Method: "GET", ID: "1", MaxObject: 1 << 20}
}

// stored is the body of the copy that is stored for /a; ok: there is one.
func (r *rig) stored() (body string, ok bool) {
	found := r.store.Lookup("/a", http.Header{}, time.Now())
	if found.Copy == nil {
		return "", false
	}
	defer found.Release()
	return string(found.Copy.Body()), true
}

// joiner is a request for the flight of /a.
func joiner() Joiner { return Joiner{Key: "/a", MaxWaiters: 1 << 30} }

// read waits for an answer and reads all of it.
func (r *rig) read(t Ticket) (Response, string) {
	r.t.Helper()
	res, from, why := t.Await(r.t.Context(), time.Minute, nil)
	if why != policy.NoReason {
		r.t.Fatal(why)
	}
	if from == nil {
		var ok bool
		if from, ok = res.Attach(); !ok {
			r.t.Fatal("the beginning is gone")
		}
	}
	if from == nil {
		return res, ""
	}
	defer from.Detach()
	var body []byte
	for {
		p, err := from.Next(r.t.Context())
		if err != nil || len(p) == 0 {
			return res, string(body)
		}
		body = append(body, p...)
	}
}

// waitFor polls a condition that other goroutines bring about.
func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
		<-time.After(time.Millisecond)
	}
}

// idle waits until no fill runs.
func (r *rig) idle() {
	r.t.Helper()
	waitFor(r.t, func() bool { return r.Load() == Load{} })
}
