package fill

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/test/references"
)

// shelf is a tier below memory that keeps what it is given.
type shelf struct {
	mu    sync.Mutex
	items map[string]store.Item
	gate  chan struct{} // Put waits until it is closed; nil: for nothing
}

func (s *shelf) Down() bool { return false }

func (s *shelf) Get(_ context.Context, key string) (store.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return references.Hold(s.items[key]), nil
}

func (s *shelf) Put(_ context.Context, key string, item store.Item) error {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		s.items = make(map[string]store.Item)
	}
	references.Release(s.items[key])
	s.items[key] = references.Hold(item)
	return nil
}

// Empty lets go of everything.
func (s *shelf) Empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range s.items {
		references.Release(item)
	}
	clear(s.items)
}

func (s *shelf) has(key string) bool {
	item, _ := s.Get(context.Background(), key)
	defer references.Release(item)
	return item != nil
}

// fresh is the verdict on an answer that may be stored.
func fresh() policy.Verdict {
	now := time.Now()
	return policy.Verdict{Store: true, Share: true, Lifetime: httpcache.Lifetime{Received: now, Date: now, Fresh: time.Minute, StaleIfError: time.Hour, Keep: time.Hour}}
}

// Every check of put keeps an answer from becoming a copy, by itself and for its own reason.
func TestWhatIsNotStored(t *testing.T) {
	member := policy.NewMember(policy.KindTag, "t")
	for name, c := range map[string]struct {
		change func(*Answer)
		before func(r *rig, below *shelf, a *Answer)
		why    policy.Reason
	}{
		"nothing against it":          {},
		"the verdict":                 {change: func(a *Answer) { a.Verdict.Store, a.Verdict.Reason = false, policy.Incomplete }, why: policy.Incomplete},
		"fewer bytes than the least":  {change: func(a *Answer) { a.Request.Route.StoreIf.MinBytes = 5 }, why: policy.TooSmall},
		"as many bytes as the least":  {change: func(a *Answer) { a.Request.Route.StoreIf.MinBytes = 4 }},
		"more members than there may": {change: func(a *Answer) { a.Members = make([]invalidation.ID, policy.MaxMembers+1) }, why: policy.TooManyMembers},
		"it took too long":            {change: func(a *Answer) { a.Taken = a.Taken.Add(-invalidation.MaxFill - time.Second) }, why: policy.Outdated},
		"it took long":                {change: func(a *Answer) { a.Taken = a.Taken.Add(-invalidation.MaxFill + time.Minute) }},
		"purged since the token": {before: func(r *rig, _ *shelf, _ *Answer) {
			log := invalidation.NewLocal(r.ledger, "test")
			if _, err := log.Invalidate(r.t.Context(), invalidation.Order{Members: []policy.Member{member}}); err != nil {
				r.t.Fatal(err)
			}
		}, why: policy.Outdated},
		"another thing purged since": {before: func(r *rig, _ *shelf, _ *Answer) {
			log := invalidation.NewLocal(r.ledger, "test")
			if _, err := log.Invalidate(r.t.Context(), invalidation.Order{Members: []policy.Member{policy.NewMember(policy.KindTag, "u")}}); err != nil {
				r.t.Fatal(err)
			}
		}},
		"an error, with nothing to stand in": {change: func(a *Answer) { a.Status = 503 }},
		"an error, with a copy to stand in": {change: func(a *Answer) { a.Status = 503 }, before: func(r *rig, _ *shelf, a *Answer) {
			standIn := *a
			standIn.Status = 200
			if why := r.Store(standIn, []byte("good")); why != policy.NoReason {
				r.t.Fatal(why)
			}
		}, why: policy.OriginStatus},
		"an error, with a copy below memory to stand in": {change: func(a *Answer) { a.Status = 503 }, before: func(r *rig, below *shelf, a *Answer) {
			copied := store.NewCopy(200, a.Header, []byte("good"))
			copied.SetLife(a.Verdict.Lifetime)
			copied.SetMembers(a.Members)
			copied.Stamp.Set(a.Token)
			_ = below.Put(r.t.Context(), a.Request.Key, copied)
			copied.Release()
		}, why: policy.OriginStatus},
	} {
		t.Run(name, func(t *testing.T) {
			below := &shelf{}
			r := newRig(t, nil, below)
			a := NewAnswer(r.request(), 200, http.Header{"Surrogate-Key": {"t"}}, fresh(), r.ledger.Token(), time.Now())
			if c.before != nil {
				c.before(r, below, &a)
			}
			if c.change != nil {
				c.change(&a)
			}
			if why := r.Store(a, []byte("body")); why != c.why {
				t.Errorf("%v, want %v", why, c.why)
			}
			r.idle()
			body, _ := r.stored()
			if stored := body == "body"; stored != (c.why == policy.NoReason) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

// A copy is found by the other queries that it says it is for, and is written to the tiers. The answer to a write is not found by
// other queries, of which something may have been purged while the write was under way; what an observed route has seen stays by
// itself.
func TestWhereACopyIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		change       func(*Answer)
		others, tier bool
	}{
		"a fill's":        {func(*Answer) {}, true, true},
		"of a write":      {func(a *Answer) { a.EndOfWrite = true }, false, true},
		"an observed one": {func(a *Answer) { a.Observed = true }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			below := &shelf{}
			r := newRig(t, nil, below)
			q := r.request()
			q.Query = "page=1&by=mail"
			a := NewAnswer(q, 200, http.Header{"No-Vary-Search": {`params=("by")`}}, fresh(), r.ledger.Token(), time.Now())
			c.change(&a)
			if why := r.Store(a, []byte("body")); why != policy.NoReason {
				t.Fatal(why)
			}
			r.idle()
			if _, ok := r.stored(); !ok {
				t.Error("not found under its own key")
			}
			others := 0
			for found := range r.store.Aliases(q.Route.PathKey(q.Target, q.Header), "page=1&by=phone", http.Header{}, time.Now()) {
				found.Release()
				others++
			}
			if (others == 1) != c.others || below.has("/a") != c.tier {
				t.Errorf("found by %d other queries; below memory: %v", others, below.has("/a"))
			}
		})
	}
}

// A claim is given back when the copy is in the tiers, and not before.
func TestClaimGoesWithTheCopy(t *testing.T) {
	below := &shelf{gate: make(chan struct{})}
	r := newRig(t, nil, below)
	open := sync.OnceFunc(func() { close(below.gate) })
	t.Cleanup(open)
	right := &claimed{released: make(chan store.ClaimResult, 1)}
	held := store.Claim(right)
	a := NewAnswer(r.request(), 200, http.Header{}, fresh(), r.ledger.Token(), time.Now())
	a.claim = &held
	if why := r.Store(a, []byte("body")); why != policy.NoReason {
		t.Fatal(why)
	}
	if held != nil {
		t.Error("the fill still has the claim")
	}
	select {
	case how := <-right.released:
		t.Fatalf("given back as %v before the copy is there", how)
	default:
	}
	open()
	if how := <-right.released; how != store.Shared || !below.has("/a") {
		t.Errorf("given back as %v; the copy is there: %v", how, below.has("/a"))
	}
}

type claimed struct{ released chan store.ClaimResult }

func (*claimed) Held() bool                                       { return true }
func (c *claimed) Release(how store.ClaimResult)                  { c.released <- how }
func (*claimed) Await(context.Context) (store.ClaimResult, error) { panic("the claim is held") }

// Who makes an answer goes on with the origin's header: the client gets of it what no copy keeps.
func TestNewAnswerLeavesTheHeader(t *testing.T) {
	r := newRig(t, nil)
	origin := http.Header{"Surrogate-Key": {"t"}, "Age": {"1"}, "X-Request-Id": {"1"}, "Connection": {"close"}}
	before := origin.Clone()
	a := NewAnswer(r.request(), 200, origin, fresh(), r.ledger.Token(), time.Now())
	if len(a.Header) != 1 || len(a.Header["Date"]) != 1 {
		t.Errorf("the copy has %v", a.Header)
	}
	if !maps.EqualFunc(origin, before, slices.Equal[[]string]) {
		t.Errorf("the origin's header has become %v", origin)
	}
}
