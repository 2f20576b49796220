package instance

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

// desk is a log that gives notices back at once.
type desk struct {
	h        *holdings
	lease    *invalidation.Lease
	routes   []*policy.Route
	orders   []string // what was asked of it
	silent   bool     // an instance of a version before is there
	between  func()   // is called before a notice is in the log
	withheld bool
}

func newDesk(t *testing.T, routes ...*policy.Route) *desk {
	d := &desk{lease: invalidation.NewLease(time.Now()), routes: routes}
	d.lease.Extend(time.Now().Add(time.Hour))
	d.h = newHoldings(d, d.lease, d.routes, slog.New(slog.DiscardHandler))
	return d
}

func (d *desk) Announce(_ context.Context, n invalidation.Notice) (invalidation.Receipt, error) {
	if d.between != nil {
		d.between()
		d.between = nil
	}
	d.orders = append(d.orders, string(n.Body[:5]))
	d.h.heed(n)
	return invalidation.Receipt{}, nil
}

func (d *desk) Invalidate(_ context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	d.orders = append(d.orders, fmt.Sprint(o.Members))
	return invalidation.Receipt{}, nil
}

func (d *desk) Withhold()      { d.withheld = true }
func (d *desk) Release()       { d.withheld = false }
func (d *desk) AllTell() bool  { return !d.silent }
func (d *desk) Alive() bool    { return true }
func (d *desk) Instances() int { return 1 }

// told has another instance tell of its routes.
func (d *desk) told(subject, word string, routes ...*policy.Route) {
	d.h.heed(invalidation.Notice{Subject: aboutHoldings + subject, Body: []byte(word + "\n" + policy.HoldingsOf(routes).Text())})
}

func cachingRoute(t *testing.T, name, pattern string) *policy.Route {
	p, err := policy.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Route{Name: name, Patterns: []policy.Pattern{p}, Caches: true}
}

func writtenTo(path string) []policy.Member {
	return []policy.Member{policy.NewMember(policy.KindURL, "shop.example"+path)}
}

// What an instance does before it has copies depends on what was told before.
func TestHoldingsBegin(t *testing.T) {
	items, stock := cachingRoute(t, "items", "GET /items/{id}"), cachingRoute(t, "stock", "GET /stock/{id}")
	for _, c := range []struct {
		about string
		told  func(*desk)
		want  []string
	}{
		{"nobody has told of anything, and so nobody has left anything out", func(*desk) {}, []string{"begin", "whole"}},
		{"another has the same copies", func(d *desk) { d.told("a", whole, items, stock) }, nil},
		{"another has them and begins itself: what was left out before is not named yet", func(d *desk) { d.told("a", begins, items, stock) },
			[]string{"begin", "[route:items route:stock]", "whole"}},
		{"another has one of them", func(d *desk) { d.told("a", whole, items) }, []string{"begin", "[route:stock]", "whole"}},
		{"two have them together", func(d *desk) { d.told("a", whole, items); d.told("b", whole, stock) }, nil},
		{"another tells of other copies while this one does", func(d *desk) { d.between = func() { d.told("a", begins) } },
			[]string{"begin", "[route:items route:stock]", "whole"}},
		{"another says what is not understood", func(d *desk) { d.h.heed(invalidation.Notice{Subject: aboutHoldings + "a", Body: []byte("v2")}) },
			[]string{"begin", "[route:items route:stock]", "whole"}},
	} {
		d := newDesk(t, items, stock)
		c.told(d)
		if err := d.h.begin(t.Context()); err != nil || !slices.Equal(d.orders, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.about, d.orders, err, c.want)
		}
		if left := d.h.told.Load().lacks(d.routes); len(left) > 0 {
			t.Errorf("%s: nobody knows of %v", c.about, left)
		}
	}
}

// No entry is left out where one may be needed: where nothing was told, where one instance does not tell, without a lease, and where
// anybody may have a copy.
func TestHoldingsMayHold(t *testing.T) {
	items := cachingRoute(t, "items", "GET /items/{id}")
	for _, c := range []struct {
		about  string
		change func(*desk)
		want   bool
	}{
		{"nobody has copies of it", func(*desk) {}, false},
		{"another has", func(d *desk) { d.told("a", whole, cachingRoute(t, "orders", "GET /orders/{id}")) }, true},
		{"another is about to", func(d *desk) { d.told("a", begins, cachingRoute(t, "orders", "GET /orders/{id}")) }, true},
		{"another had, and is gone", func(d *desk) {
			d.told("a", whole, cachingRoute(t, "orders", "/orders/{id}"))
			d.told("b", whole, items)
		}, true},
		{"another says what is not understood", func(d *desk) { d.h.heed(invalidation.Notice{Subject: aboutHoldings + "a", Body: []byte("v2")}) }, true},
		{"a version before does not tell", func(d *desk) { d.silent = true }, true},
		{"no lease", func(d *desk) { d.lease.Revoke(time.Now()) }, true},
		{"too many have told", func(d *desk) {
			for i := range mostHoldings {
				d.told(fmt.Sprint(i), whole, items)
			}
		}, true},
	} {
		d := newDesk(t, items)
		if !d.h.mayHold(writtenTo("/orders/1")) {
			t.Error("nothing was told, and it is taken for known that nobody has copies")
		}
		if err := d.h.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.change(d)
		if got := d.h.mayHold(writtenTo("/orders/1")); got != c.want || !d.h.mayHold(writtenTo("/items/1")) {
			t.Errorf("%s: %v", c.about, got)
		}
	}
}

// Where another log has come in the place of the one in which it was told, the instance has no lease until it has told again.
func TestHoldingsAreToldAgain(t *testing.T) {
	d := newDesk(t, cachingRoute(t, "items", "GET /items/{id}"))
	if !d.withheld {
		t.Error("a lease before anything was told")
	}
	if err := d.h.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.withheld {
		t.Error("no lease although all was told")
	}
	for subject := range d.h.told.Load().by {
		d.h.heed(invalidation.Notice{Subject: subject})
	}
	if !d.withheld || len(d.h.lacking) != 1 {
		t.Errorf("withheld %v", d.withheld)
	}
}

// A write concerns the other instance although nothing is cached here, and concerns nobody where nothing is cached anywhere; and what
// another configuration put on the server is not used by one that comes after writes which did not know of it.
func TestFleetLeavesOutEntries(t *testing.T) {
	server := servers.Valkey(t, servers.ValkeyOptions{})
	back := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(back.Close)
	text := fmt.Sprintf("valkey: {url: \"valkey://%s\", lease: 500ms, instance: web}\nupstreams: [{name: a, url: %q}]\nroutes:\n", server.Address(), back.URL) +
		"  - {name: items, match: \"GET /items/{id}\", policy: cache-aside, ttl: 1h}\n"
	both := text + "  - {name: orders, match: \"GET /orders/{id}\", policy: cache-aside, ttl: 1h}\n"
	start := func() (*member, func()) {
		m := &member{reloading: newReloadingWith(t, text, slog.New(slog.DiscardHandler))}
		return m, m.join()
	}
	a, _ := start()
	entries := func(m *member, path string) uint64 {
		t.Helper()
		before := m.fleet.entries.State().Position
		if got := m.ask(http.MethodPost, "http://shop.example"+path, ""); got.Code != http.StatusOK {
			t.Fatalf("write: %d %s", got.Code, got.Body)
		}
		return m.fleet.entries.State().Position - before
	}
	until(t, "a lease", func() bool { return a.fleet.leased(time.Now()) })
	if n := entries(a, "/orders/1"); n != 0 {
		t.Errorf("%d entries for a write that concerns nobody", n)
	}
	if n := entries(a, "/items/1"); n != 1 {
		t.Errorf("%d entries for a write that concerns a copy", n)
	}

	b, leave := start()
	b.with(both) // others know when it is in force
	if n := entries(a, "/orders/1"); n != 1 {
		t.Errorf("%d entries for a write that concerns the other instance", n)
	}
	leave()
	if n := entries(a, "/orders/1"); n != 1 {
		t.Errorf("%d entries for a write that concerns what the other has left on the server", n)
	}
}
