package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cacheproxy/policy"
)

// A write names nothing to the log where no copy can have the name, and what it names otherwise.
func TestNeedlessEntries(t *testing.T) {
	pass := func(change func(*policy.Route)) func(*policy.Route) {
		return func(r *policy.Route) {
			r.Policy = policy.Bypass
			if change != nil {
				change(r)
			}
		}
	}
	template, err := policy.ParseTemplate("/elsewhere/{id}")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		about, target string
		change        func(*policy.Route)
		answer        http.HandlerFunc
		entry         bool
	}{
		{"nothing is cached there", "/orders/1", nil, nil, false},
		{"and it has a query", "/orders/1?a=b", nil, nil, false},
		{"a copy may be of its target", "/items/1", nil, nil, true},
		{"no route is for the write", "/nowhere", nil, nil, false},
		{"the answer names a URL that may have a copy", "/orders/1", nil, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/items/7") }, true},
		{"the answer names one that may not", "/orders/1", nil, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/orders/7") }, false},
		{"the answer names a group", "/orders/1", nil, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Group-Invalidation", `"all"`) }, true},
		{"nobody knows what became of it", "/orders/1", nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, false},
		{"nobody knows what became of it, and there may be a copy", "/items/1", nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, true},
		{"its route has said what it makes unusable", "/orders/1", pass(func(r *policy.Route) { r.Invalidates = &policy.Invalidates{URLs: []policy.Template{template}} }), nil, true},
		{"its route fences", "/orders/1", func(r *policy.Route) { r.Policy = policy.WriteThrough }, nil, true},
	} {
		change := c.change
		if change == nil {
			change = pass(nil)
		}
		orders := routeFor(t, "orders", change, "/orders/{id}")
		items := routeFor(t, "items", nil, "/items/{id}")
		back := c.answer
		if back == nil {
			back = func(http.ResponseWriter, *http.Request) {}
		}
		inBubble(t, back, rigOptions{routes: []*policy.Route{items}}, orders, func(b *bubble) {
			b.proxy.mayHold = policy.HoldingsOf([]*policy.Route{items}).MayHold
			before := b.ledger.Token()
			b.do("POST", c.target)
			if got := b.ledger.Token() != before; got != c.entry {
				t.Errorf("%s: entry %v, want %v", c.about, got, c.entry)
			}
		})
	}
}

// Where a route says that its writes make nothing unusable, they do not: copies of the target and of what the answer names stay.
func TestWriteThatInvalidatesNothing(t *testing.T) {
	for name, status := range map[string]int{"done": 200, "of unknown outcome": 500} {
		t.Run(name, func(t *testing.T) {
			back := func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.Header().Set("Location", "/items/7")
					w.Header().Set("Cache-Group-Invalidation", `"all"`)
					w.WriteHeader(status)
				}
			}
			views := routeFor(t, "views", func(r *policy.Route) {
				r.Policy, r.Invalidates = policy.Bypass, &policy.Invalidates{Nothing: true}
			}, "POST /items/{id}")
			items := routeFor(t, "items", nil, "GET /items/{id}")
			inBubble(t, back, rigOptions{routes: []*policy.Route{items}}, views, func(b *bubble) {
				b.proxy.mayHold = policy.HoldingsOf([]*policy.Route{items}).MayHold
				for _, path := range []string{"/items/1", "/items/7"} {
					b.do("GET", path).want(t, "fill", 200, "", "stored")
				}
				synctest.Wait()
				before := b.ledger.Token()
				b.do("POST", "/items/1").want(t, "write", status, "", "")
				if b.ledger.Token() != before {
					t.Error("the write has an entry")
				}
				for _, path := range []string{"/items/1", "/items/7"} {
					b.do("GET", path).want(t, "read", 200, "", "hit")
				}
			})
		})
	}
}

// Whether there may be a copy is asked when the origin has answered: a route that began to have copies meanwhile may have one from before.
func TestNeedlessIsAskedAtTheEnd(t *testing.T) {
	var answered atomic.Bool
	back := func(http.ResponseWriter, *http.Request) { answered.Store(true) }
	inBubble(t, back, rigOptions{}, routeFor(t, "orders", func(r *policy.Route) { r.Policy = policy.Bypass }, "/orders/{id}"), func(b *bubble) {
		b.proxy.mayHold = func([]policy.Member) bool { return answered.Load() }
		before := b.ledger.Token()
		b.do("POST", "/orders/1")
		if b.ledger.Token() == before {
			t.Error("no entry, although there are copies at the end of the write")
		}
	})
}

// A write that began under a generation before makes its entry: it does not know what the routes of this one name.
func TestNeedlessAcrossGenerations(t *testing.T) {
	sent, goOn := make(chan struct{}), make(chan struct{})
	back := func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			close(sent)
			<-goOn
		}
	}
	orders := routeFor(t, "orders", func(r *policy.Route) { r.Policy = policy.Bypass }, "/orders/{id}")
	inBubble(t, back, rigOptions{}, orders, func(b *bubble) {
		b.proxy.mayHold = func([]policy.Member) bool { return false }
		done := make(chan struct{})
		go func() { b.do("POST", "/orders/1"); close(done) }()
		<-sent
		next := *b.proxy.config()
		next.Anew = []string{"orders"}
		if err := b.proxy.Reconfigure(t.Context(), &next); err != nil {
			t.Fatal(err)
		}
		before := b.ledger.Token()
		close(goOn)
		<-done
		if b.ledger.Token() == before {
			t.Error("no entry")
		}
	})
}
