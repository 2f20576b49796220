package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// generation is a configuration of these routes in front of the rig's origin.
func (r *rig) generation(routes ...*policy.Route) *Config {
	r.t.Helper()
	table, err := policy.NewTable(routes)
	if err != nil {
		r.t.Fatal(err)
	}
	now := r.proxy.config()
	return NewConfig(Config{Table: table, MaxObject: now.MaxObject}, routes, []*upstream.Upstream{now.unmatched.Origin}, r.metrics)
}

func (r *rig) reconfigure(routes ...*policy.Route) {
	r.t.Helper()
	if err := r.proxy.Reconfigure(r.t.Context(), r.generation(routes...)); err != nil {
		r.t.Fatal(err)
	}
}

// as is a route of that meaning: copies of another are not its own.
func as(fingerprint uint64, more ...func(*policy.Route)) func(*policy.Route) {
	return func(r *policy.Route) {
		r.Fingerprint = fingerprint
		for _, change := range more {
			change(r)
		}
	}
}

// value is an origin that answers GET with what was last written.
type value struct {
	v     atomic.Pointer[string]
	asked atomic.Int64
	// hold, if set, is waited for by a GET after the value was read, and by a PUT after it was written.
	get, put       chan struct{}
	gotten, putted chan struct{}
}

func newValue() *value {
	o := &value{}
	first := "first"
	o.v.Store(&first)
	return o
}

func (o *value) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		body, _ := io.ReadAll(r.Body)
		text := string(body)
		o.v.Store(&text)
		if o.put != nil {
			o.putted <- struct{}{}
			<-o.put
		}
		return
	}
	o.asked.Add(1)
	text := *o.v.Load()
	if o.get != nil && r.URL.Query().Has("hold") {
		o.gotten <- struct{}{}
		<-o.get
	}
	fmt.Fprint(w, text)
}

func (r *rig) want(target, body, status string) {
	r.t.Helper()
	if a := r.do("GET", target); a.body != body || !strings.HasPrefix(a.header.Get("Cache-Status"), "cacheproxy; "+status) {
		r.t.Errorf("GET %s: %q, %s; want %q, %s", target, a.body, a.header.Get("Cache-Status"), body, status)
	}
}

// What stays as it was keeps its copies, its mode and what it learned; what changed begins anew.
func TestReconfigureKeepsWhatStays(t *testing.T) {
	o := newValue()
	stays := func(ttl time.Duration) *policy.Route {
		return routeFor(t, "stays", as(1, func(r *policy.Route) { r.TTL = ttl }), "GET /stays/{id}")
	}
	changes := func(fingerprint uint64) *policy.Route {
		return routeFor(t, "changes", as(fingerprint), "GET /changes/{id}")
	}
	r := newRig(t, o.ServeHTTP, rigOptions{}, stays(time.Minute), changes(2), routeFor(t, "goes", as(3), "GET /goes/{id}"))
	for _, target := range []string{"/stays/1", "/changes/1", "/goes/1"} {
		r.want(target, "first", "fwd=uri-miss")
		r.want(target, "first", "hit")
	}
	if err := r.proxy.SetMode("changes", ModeOrder{Mode: policy.Off, By: "oncall"}); err != nil {
		t.Fatal(err)
	}
	r.proxy.config().byName["stays"].Learn([]string{"Accept"})
	r.proxy.config().byName["changes"].Learn([]string{"Accept"})

	r.reconfigure(stays(time.Hour), changes(20), routeFor(t, "comes", as(4), "GET /goes/{id}"))
	r.want("/stays/1", "first", "hit")
	if r.do("GET", "/changes/1"); r.proxy.Modes()[1].By != "oncall" {
		t.Errorf("modes: %+v", r.proxy.Modes())
	}
	if err := r.proxy.ResetMode("changes"); err != nil {
		t.Fatal(err)
	}
	r.want("/changes/1", "first", "fwd=uri-miss")
	r.want("/goes/1", "first", "fwd=uri-miss")
	cfg := r.proxy.config()
	if got := fmt.Sprint(cfg.byName["stays"].Selecting(), cfg.byName["changes"].Selecting()); got != "[Accept] []" {
		t.Errorf("learned from Vary: %s", got)
	}

	// A mode set by what still goes by the generation before holds in this one too.
	r.reconfigure(stays(time.Hour))
	if got := r.proxy.RouteNames(); len(got) != 1 || got[0] != "stays" {
		t.Errorf("routes: %v", got)
	}
	if err := r.proxy.SetMode("changes", ModeOrder{Mode: policy.Off}); err == nil {
		t.Error("a route that is gone was switched")
	}
}

// Copies of a meaning that comes back are not served: what was written meanwhile did not name them.
func TestReconfigureForgetsWhatComesBack(t *testing.T) {
	o := newValue()
	a := routeFor(t, "a", as(1, func(r *policy.Route) { r.Key = template(t, "v1:{id}") }), "GET /x/{id}")
	b := routeFor(t, "a", as(2, func(r *policy.Route) { r.Key = template(t, "v2:{id}") }), "GET /x/{id}")
	r := newRig(t, o.ServeHTTP, rigOptions{}, a)
	r.want("/x/1", "first", "fwd=uri-miss")
	r.reconfigure(b)
	second := "second"
	o.v.Store(&second)
	if _, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("v2:1")}}); err != nil {
		t.Fatal(err)
	}
	r.want("/x/1", "second", "fwd=uri-miss")
	r.reconfigure(a)
	r.want("/x/1", "second", "fwd=")
}

// A fill that began before is answered, and leaves nothing that a route which comes back could serve.
func TestReconfigureDuringFill(t *testing.T) {
	o := newValue()
	o.get, o.gotten = make(chan struct{}), make(chan struct{})
	a := routeFor(t, "a", as(1), "GET /x/{id}")
	r := newRig(t, o.ServeHTTP, rigOptions{}, a)
	filled := make(chan string)
	go func() {
		got, err := r.try("GET", "/x/1?hold", nil)
		filled <- fmt.Sprint(got.body, " ", err)
	}()
	<-o.gotten
	r.reconfigure(routeFor(t, "a", as(2), "GET /x/{id}"))
	r.reconfigure(a)
	second := "second"
	o.v.Store(&second)
	o.get <- struct{}{}
	if got := <-filled; got != "first <nil>" {
		t.Errorf("the request under way got %s", got)
	}
	go func() { <-o.gotten; o.get <- struct{}{} }()
	r.want("/x/1?hold", "second", "fwd=")
}

// A write that began before knows only the names of then. Copies that the routes of now have made meanwhile go too.
func TestReconfigureDuringWrite(t *testing.T) {
	o := newValue()
	edit := routeFor(t, "edit", func(r *policy.Route) { r.Policy = policy.Bypass }, "PUT /edit")
	r := newRig(t, o.ServeHTTP, rigOptions{}, edit)
	// The route that comes names its copies by what the write did not know of.
	came := routeFor(t, "came", as(1), "GET /x/{id}")
	r.reconfigure(edit)
	o.put, o.putted = make(chan struct{}), make(chan struct{})
	written := make(chan error)
	go func() {
		_, err := r.try("PUT", "/edit", strings.NewReader("second"))
		written <- err
	}()
	<-o.putted
	r.reconfigure(edit, came)
	first := "first" // as a replica that lags behind would still say
	o.v.Store(&first)
	r.want("/x/1", "first", "fwd=uri-miss")
	r.want("/x/1", "first", "hit")
	second := "second"
	o.v.Store(&second)
	o.put <- struct{}{}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	r.want("/x/1", "second", "fwd=")
}

// Where the change cannot be announced, the generation before stays in force.
func TestReconfigureFails(t *testing.T) {
	down := &unannounced{}
	r := newRig(t, newValue().ServeHTTP, rigOptions{log: func(l *invalidation.Local) invalidation.Log {
		down.Log = l
		return down
	}}, routeFor(t, "a", as(1), "GET /x/{id}"))
	r.want("/x/1", "first", "fwd=uri-miss")
	down.is.Store(true)
	if err := r.proxy.Reconfigure(t.Context(), r.generation(routeFor(t, "b", as(2), "GET /x/{id}"))); err == nil {
		t.Error("no error")
	}
	r.want("/x/1", "first", "hit")
	if got := r.proxy.RouteNames(); len(got) != 1 || got[0] != "a" {
		t.Errorf("routes %v", got)
	}
}

// Requests, modes and generations at the same time: a request sees one generation, and no copy outlives a write.
func TestReconfigureUnderLoad(t *testing.T) {
	o := newValue()
	of := func(fingerprint uint64) *policy.Route { return routeFor(t, "a", as(fingerprint), "/x/{id}") }
	r := newRig(t, o.ServeHTTP, rigOptions{}, of(1))
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for c := range 4 {
		clients.Go(func() {
			target := fmt.Sprint("/x/", c) // written and read by one client
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprint(c, "-", n)
				if _, err := r.try("PUT", target, strings.NewReader(text)); err != nil {
					t.Error(err)
					return
				}
				if got, err := r.try("GET", target, nil); err != nil || got.status != http.StatusOK {
					t.Errorf("%d %v", got.status, err)
					return
				}
			}
		})
	}
	for n := range 200 {
		r.reconfigure(of(uint64(n % 3)))
		if err := r.proxy.SetMode("a", ModeOrder{Mode: policy.On, By: "test"}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	clients.Wait()
	if r.proxy.Modes()[0].By != "test" {
		t.Error("a mode was lost")
	}
}

// unannounced is a log that takes no fences while it is down.
type unannounced struct {
	invalidation.Log
	is atomic.Bool
}

func (l *unannounced) Begin(ctx context.Context, m []policy.Member) (*invalidation.Fence, error) {
	if l.is.Load() {
		return nil, errors.New("store is down")
	}
	return l.Log.Begin(ctx, m)
}

// endings is a log that notes what fences end with.
type endings struct {
	invalidation.Log
	orders []invalidation.Order
}

func (e *endings) End(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	e.orders = append(e.orders, o)
	return e.Log.End(ctx, f, o)
}

// A write to what no route could hold has no entry, and is not repeated when the API's replicas have it: a route that begins within
// that time begins once more after it.
func TestNewRoutesSettle(t *testing.T) {
	var log *endings
	o := rigOptions{log: func(l *invalidation.Local) invalidation.Log { log = &endings{Log: l}; return log }}
	r := newRig(t, newValue().ServeHTTP, o, routeFor(t, "a", as(1), "/a"))
	r.reconfigure(routeFor(t, "a", as(1), "/a"), routeFor(t, "b", as(1), "/b"))
	if n := len(log.orders); n != 1 || log.orders[0].Settle != 0 || len(log.orders[0].Members) != 0 {
		t.Errorf("without settle: %+v", log.orders)
	}
	settles := as(1, func(r *policy.Route) { r.Settle = 2 * time.Second })
	r.reconfigure(routeFor(t, "a", as(1), "/a"), routeFor(t, "b", settles, "/b"), routeFor(t, "c", settles, "/c"))
	end := log.orders[len(log.orders)-1]
	if end.Settle != 2*time.Second || len(end.Members) != 1 || end.Members[0] != policy.NewMember(policy.KindRoute, "c") {
		t.Errorf("with settle: %+v", end)
	}
}
