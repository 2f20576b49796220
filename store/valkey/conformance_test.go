package valkey

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// samplePositions are those of an instance that has applied the shared log up to a position. Its own positions are those of the log.
type samplePositions struct {
	mu      sync.Mutex
	history fleet.History
	applied uint64
}

func (c *samplePositions) follow(h fleet.History, applied uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history, c.applied = h, applied
}

func (c *samplePositions) at(seq uint64) fleet.LogPosition {
	return fleet.LogPosition{History: c.history, Seq: seq, Nonce: seq * 0x9e3779b97f4a7c15}
}

func (c *samplePositions) ToLog(t invalidation.Token) (fleet.LogPosition, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(t.Position()), c.history != fleet.History{}
}

func (c *samplePositions) FromLog(s fleet.LogPosition) (invalidation.Token, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return token(s.Seq), s == c.at(s.Seq) && s.Seq <= c.applied && c.history != fleet.History{}
}

func token(seq uint64) invalidation.Token { return invalidation.Receipt{Position: seq}.Token() }

var history = fleet.History{0: 0xff, 15: 0x80}

func following(applied uint64) *samplePositions {
	return &samplePositions{history: history, applied: applied}
}

// response makes a copy that was fetched just now, at a position.
func response(seq uint64, body string) *store.Copy {
	c := store.NewCopy(200, http.Header{"Content-Type": {"text/plain"}, "Etag": {`"` + fmt.Sprint(seq) + `"`}}, []byte(body))
	c.SetLife(httpcache.Lifetime{Date: time.Now().UTC().Truncate(time.Second), Received: time.Now(), Fresh: time.Minute, Keep: time.Hour})
	c.SetMembers([]invalidation.ID{7, 8})
	c.Stamp.Set(token(seq))
	return c
}

// opener gives the tier of another instance on the same place.
type opener func(t *testing.T, positions fleet.Positions, maxObject int64) store.Tier

// conform holds a place for copies against what is promised of every tier that instances share.
func conform(t *testing.T, open opener) {
	for about, test := range map[string]func(t *testing.T, open opener){
		"round trip": conformRoundTrip, "variants": conformVariants, "order": conformOrder, "positions": conformPositions,
		"expiry": conformExpiry, "size": conformSize, "concurrency": conformConcurrency,
	} {
		t.Run(about, func(t *testing.T) { test(t, open) })
	}
}

func get(t *testing.T, tier store.Tier, key string) store.Item {
	t.Helper()
	item, err := tier.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return item
}

func put(t *testing.T, tier store.Tier, key string, item store.Item) {
	t.Helper()
	if err := tier.Put(t.Context(), key, item); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// wantBody wants a copy with this body; empty: none.
func wantBody(t *testing.T, about string, tier store.Tier, key, want string) {
	t.Helper()
	got := ""
	switch item := get(t, tier, key).(type) {
	case nil:
	case *store.Copy:
		got = string(item.Body())
	default:
		t.Errorf("%s: there is a %T", about, item)
	}
	if got != want {
		t.Errorf("%s: %q is there, want %q", about, got, want)
	}
}

func conformRoundTrip(t *testing.T, open opener) {
	a, b := open(t, following(9), 1<<20), open(t, following(9), 1<<20)
	if item := get(t, b, t.Name()); item != nil {
		t.Fatalf("before anything was put: %v", item)
	}
	long := strings.Repeat("a line of text. ", 4000)
	for about, want := range map[string]*store.Copy{
		"short": response(1, "body"), "long": response(2, long), "empty": response(3, ""),
		"held compressed": held(httpcache.Zstd, long), "no header": store.NewCopy(404, nil, []byte("gone")),
	} {
		life := want.Life()
		if life.Received = time.Now(); life.Keep == 0 {
			life.Keep = time.Hour
		}
		want.SetLife(life)
		key := t.Name() + about + "\x00\xff{}"
		put(t, a, key, want)
		got, ok := get(t, b, key).(*store.Copy)
		if !ok {
			t.Errorf("%s: it is not there", about)
			continue
		}
		now := time.Now() // one for both: this machine may pause between two
		if age, was := got.Life().Age(now), life.Age(now); age < was-time.Millisecond || age > was+5*time.Second {
			t.Errorf("%s: its age is %v, want about %v", about, age, was)
		}
		back := got.Life()
		back.Received = life.Received
		if got.Stamp.Token() != want.Stamp.Token() {
			t.Errorf("%s: it stands at %v, want %v", about, got.Stamp.Token(), want.Stamp.Token())
		}
		if got.Status() != want.Status() || got.Head() != want.Head() || string(got.Body()) != string(want.Body()) || got.Coding() != want.Coding() || got.Length() != want.Length() ||
			got.Digest != want.Digest || !reflect.DeepEqual(back, life) || !reflect.DeepEqual(got.Members(), want.Members()) || !reflect.DeepEqual(got.Vary(), want.Vary()) {
			t.Errorf("%s: %+v came back, want %+v", about, got, want)
		}
		wantBody(t, "under a key that only begins alike", b, key+"x", "")
	}
}

func conformVariants(t *testing.T, open opener) {
	a, b := open(t, following(9), 1<<20), open(t, following(9), 1<<20)
	want := &store.Variants{Selections: [][]string{{"Accept", "X-Site"}, {"X-Site"}}, Keys: []string{t.Name() + "1", t.Name() + "2", "other"}}
	put(t, a, t.Name(), response(5, "did not vary"))
	put(t, a, t.Name(), want)
	if got := get(t, b, t.Name()); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v came back, want %+v", got, want)
	}
	put(t, a, t.Name(), response(1, "does not vary any more"))
	wantBody(t, "after a copy", b, t.Name(), "does not vary any more")
}

// A fetch that began earlier and ends later is not what others find.
func conformOrder(t *testing.T, open opener) {
	instance := following(1 << 40)
	a := open(t, instance, 1<<20)
	// Neighbours that an order of texts, or of signed numbers, would confuse.
	for n, seq := range []uint64{1, 0x7f, 0x80, 0xff, 0x100, 0x101, 0xff00, 0x10000, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 5} {
		put(t, a, t.Name(), response(seq, fmt.Sprint("at ", seq)))
		put(t, a, t.Name(), response(seq-1, "earlier"))
		wantBody(t, fmt.Sprint("step ", n), a, t.Name(), fmt.Sprint("at ", seq))
		put(t, a, t.Name(), response(seq, fmt.Sprint("again at ", seq)))
		wantBody(t, fmt.Sprint("step ", n), a, t.Name(), fmt.Sprint("again at ", seq))
	}
	instance.follow(fleet.History{1}, 9)
	put(t, a, t.Name(), response(1, "of another history"))
	wantBody(t, "of a later life of the log", a, t.Name(), "of another history")
}

// What stands where an instance has not been is not there for it.
func conformPositions(t *testing.T, open opener) {
	instance := following(5)
	a, b := open(t, following(9), 1<<20), open(t, instance, 1<<20)
	put(t, a, t.Name(), response(6, "body"))
	wantBody(t, "not applied yet", b, t.Name(), "")
	instance.follow(history, 6)
	wantBody(t, "applied", b, t.Name(), "body")
	instance.follow(fleet.History{1}, 9)
	wantBody(t, "of another history", b, t.Name(), "")
	instance.follow(fleet.History{}, 9)
	put(t, b, t.Name()+"2", response(1, "body"))
	wantBody(t, "without a shared log", a, t.Name()+"2", "")
}

func conformExpiry(t *testing.T, open opener) {
	a := open(t, following(9), 1<<20)
	soon := response(1, "body")
	life := soon.Life()
	life.Received, life.Keep = time.Now().Add(-time.Hour), time.Hour+500*time.Millisecond
	soon.SetLife(life)
	put(t, a, t.Name(), soon)
	wantBody(t, "half a second before its end", a, t.Name(), "body")
	eventually(t, "it is gone at its end", func() bool { return get(t, a, t.Name()) == nil })
	if left := life.Keep - time.Since(life.Received); left > 5*time.Millisecond { // it may be taken for older than it is, a little
		t.Errorf("it was gone %v before its end", left)
	}
	life.Received = time.Now().Add(-2 * time.Hour)
	soon.SetLife(life)
	put(t, a, t.Name(), soon)
	wantBody(t, "put after its end", a, t.Name(), "")
}

func conformSize(t *testing.T, open opener) {
	a, narrow := open(t, following(9), 100<<10), open(t, following(9), 10<<10)
	body := strings.Repeat("a", 100<<10)
	put(t, a, t.Name(), response(1, body))
	wantBody(t, "as long as may be", a, t.Name(), body)
	wantBody(t, "for who takes less", narrow, t.Name(), "")
	put(t, a, t.Name()+"2", response(2, body+"a"))
	wantBody(t, "longer", a, t.Name()+"2", "")
	put(t, narrow, t.Name()+"4", response(3, body))
	wantBody(t, "put by who takes less", a, t.Name()+"4", "")
	// Compressed where it is held, and yet as long as it is.
	put(t, a, t.Name()+"3", held(httpcache.Gzip, body+"a"))
	wantBody(t, "longer without its coding", a, t.Name()+"3", "")
}

// Whatever comes in whatever order, a whole copy is found, and in the end the latest.
func conformConcurrency(t *testing.T, open opener) {
	a, b := open(t, following(1000), 1<<20), open(t, following(1000), 1<<20)
	var wg sync.WaitGroup
	for n := range 20 {
		for i, tier := range []store.Tier{a, b} {
			wg.Go(func() {
				seq := uint64(2*n + i + 1)
				if err := tier.Put(t.Context(), t.Name(), response(seq, fmt.Sprint(seq))); err != nil {
					t.Error(err)
				}
				item, err := tier.Get(t.Context(), t.Name())
				if err != nil {
					t.Error(err)
				} else if c, ok := item.(*store.Copy); !ok || c.Stamp.Token().Before(token(seq)) || c.Get("Etag") != `"`+string(c.Body())+`"` {
					t.Errorf("after %d: %+v", seq, item)
				}
			})
		}
	}
	wg.Wait()
	wantBody(t, "in the end", b, t.Name(), "40")
}

// eventually waits for something that comes about by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(20 * time.Second)
	for !is() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// shelf is a place in memory: what conform asks for, without a server.
type shelf struct {
	mu    sync.Mutex
	items map[string]shelved
}

type shelved struct {
	item store.Item
	at   fleet.LogPosition
}

type shelfTier struct {
	*shelf
	positions fleet.Positions
	maxObject int64
}

func (s shelfTier) Down() bool { return false }

func (s shelfTier) Get(_ context.Context, key string) (store.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	here := s.items[key]
	c, ok := here.item.(*store.Copy)
	if !ok {
		return here.item, nil
	}
	t, ok := s.positions.FromLog(here.at)
	if !ok || time.Since(c.Life().Received) >= c.Life().Keep || int64(c.Length()) > s.maxObject {
		return nil, nil
	}
	own := c.WithHeader(c.Header())
	own.SetLife(c.Life())
	own.SetMembers(c.Members())
	own.Stamp.Set(t)
	return own, nil
}

func (s shelfTier) Put(_ context.Context, key string, item store.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	new := shelved{item: item}
	if c, ok := item.(*store.Copy); ok {
		if new.at, ok = s.positions.ToLog(c.Stamp.Token()); !ok || int64(c.Length()) > s.maxObject {
			return nil
		}
		own := c.WithHeader(c.Header())
		own.SetLife(c.Life())
		own.SetMembers(c.Members())
		new.item = own
	}
	if old := s.items[key]; old.at.History == new.at.History && old.at.Seq > new.at.Seq {
		return nil
	}
	s.items[key] = new
	return nil
}
