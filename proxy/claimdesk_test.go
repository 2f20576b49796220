package proxy

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// desk is where the instances of a bubble claim.
type desk struct {
	mu       sync.Mutex
	taken    map[string]*right
	asked    int
	waited   int // who had to
	released []store.ClaimResult
}

// right is one claim that is held.
type right struct {
	over chan struct{} // closed when it is given back
	how  store.ClaimResult
}

type deskClaim struct {
	d    *desk
	key  string
	held bool
	*right
}

func (d *desk) Claim(_ context.Context, key string) (store.Claim, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if r := d.taken[key]; r != nil {
		return &deskClaim{d, key, false, r}, nil
	}
	if d.taken == nil {
		d.taken = make(map[string]*right)
	}
	r := &right{over: make(chan struct{})}
	d.taken[key] = r
	return &deskClaim{d, key, true, r}, nil
}

func (c *deskClaim) Held() bool { return c.held }

func (c *deskClaim) Release(how store.ClaimResult) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if !c.held || c.d.taken[c.key] != c.right {
		panic("a claim that is not held is given back")
	}
	delete(c.d.taken, c.key)
	c.d.released = append(c.d.released, how)
	c.how = how
	close(c.over)
}

func (c *deskClaim) Await(ctx context.Context) (store.ClaimResult, error) {
	c.d.mu.Lock()
	c.d.waited++
	c.d.mu.Unlock()
	select {
	case <-c.over:
		return c.how, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// want fails the test unless every claim was given back, in these ways.
func (d *desk) want(t *testing.T, what string, released ...store.ClaimResult) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.taken) > 0 {
		t.Errorf("%s: claims that were not given back: %q", what, slices.Collect(maps.Keys(d.taken)))
	}
	if !slices.Equal(d.released, released) {
		t.Errorf("%s: given back %v, want %v", what, d.released, released)
	}
}

func (d *desk) claims() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

// copies is a shelf whose items are others for each who takes them, as those that came over a network.
type copies struct {
	cupboard
	takes time.Duration // to put one
	put   atomic.Int64
}

func (c *copies) Put(ctx context.Context, key string, item store.Item) error {
	if c.Down() {
		return store.ErrDown
	}
	if c.takes > 0 {
		<-time.After(c.takes)
	}
	c.put.Add(1)
	return c.cupboard.Put(ctx, key, item)
}

func (c *copies) writes() int { return int(c.put.Load()) }

func (c *copies) Get(ctx context.Context, key string) (store.Item, error) {
	item, err := c.cupboard.Get(ctx, key)
	if held, ok := item.(*store.Copy); ok {
		own := held.WithHeader(held.Header())
		own.SetLife(held.Life())
		own.SetMembers(held.Members())
		own.Stamp.Set(held.Stamp.Token())
		held.Release()
		return own, err
	}
	return item, err
}

// fleet runs f with instances that share a tier and claims.
func fleet(t *testing.T, backend http.HandlerFunc, n int, o rigOptions, route *policy.Route, f func(all []*bubble, d *desk, c *copies)) {
	t.Helper()
	d, c := &desk{}, &copies{}
	o.below = []store.Tier{c}
	if o.claims == nil {
		o.claims = d
	}
	if o.origin.Timeout == 0 {
		o.origin.Timeout = time.Minute
	}
	if o.origin.MaxInFlight == 0 {
		o.origin.MaxInFlight = 1000
	}
	inBubble(t, backend, o, route, func(b *bubble) {
		all := []*bubble{b}
		for len(all) < n {
			all = append(all, b.another())
		}
		f(all, d, c)
	})
}

// slowly makes each answer take as long.
func slowly(d time.Duration, then func(int64, http.ResponseWriter, *http.Request) bool) func(int64, http.ResponseWriter, *http.Request) bool {
	return func(n int64, w http.ResponseWriter, r *http.Request) bool {
		<-time.After(d)
		return then == nil || then(n, w, r)
	}
}
