package valkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"cacheproxy/writebehind"
)

// answering is an origin that answers as the test says, by the content of a write.
type answering struct {
	mu        sync.Mutex
	codes     map[string]int // 0: 200
	seen      []string
	confirmed int
}

func (a *answering) send(_ context.Context, w *writebehind.Write, _ uint64, _ func() bool) writebehind.Try {
	a.mu.Lock()
	defer a.mu.Unlock()
	body := string(w.Body)
	a.seen = append(a.seen, body)
	if code := a.codes[body]; code != 0 {
		return writebehind.Try{Sent: true, Status: code}
	}
	return writebehind.Try{Sent: true, Status: 200, Confirmed: body != "unconfirmed"}
}

func (a *answering) confirm(context.Context, *writebehind.Write) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.confirmed++; a.confirmed < 2 {
		return errors.New("the log is away")
	}
	return nil
}

func (a *answering) sent() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

func (a *answering) confirmations() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.confirmed
}

func (a *answering) says(body string, code int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.codes[body] = code
}

// flush has an instance flush to the origin until the test ends, or stop is called.
func (a *answering) flush(t *testing.T, q *Queue) (stop func()) {
	t.Helper()
	f := writebehind.NewFlusher(writebehind.FlusherOptions{Queue: q, Sealer: sealer(t), Send: a.send, Confirm: a.confirm, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// post is an entry that may not be repeated.
func post(t *testing.T, key, body string) *writebehind.Entry {
	t.Helper()
	w := &writebehind.Write{Route: "stock", Upstream: "api", Method: http.MethodPost, Path: "/" + key, Header: http.Header{}, MaxAge: time.Hour, Body: []byte(body)}
	return made(t, key, w)
}

// made is an entry for a write, which the queue does not repeat of itself.
func made(t *testing.T, key string, w *writebehind.Write) *writebehind.Entry {
	t.Helper()
	content, err := w.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := sealer(t)
	e := &writebehind.Entry{ID: writebehind.NewID(), Key: writebehind.KeyOf("shop", key), Route: "stock", Rules: &writebehind.Rules{MaxQueued: 100, MaxPerKey: 100}}
	e.Sealed, e.Identities = s.Seal(e.ID, e.Key, content), s.Identities(w, "", string(w.Body))
	return e
}

func accepted(t *testing.T, q *Queue, e *writebehind.Entry) string {
	t.Helper()
	r, err := q.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// becomes waits until a write is in a state.
func becomes(t *testing.T, q *Queue, id string, want writebehind.State) writebehind.Record {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		r, err := q.Find(t.Context(), id)
		if err == nil && r.State == want {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not become %s: %+v, %v", id, want, r, err)
		}
	}
}

// Operators decide about dead letters, and the order of a key stays what it is.
func TestDecisions(t *testing.T) {
	ctx := t.Context()
	q, _ := open(t, withAOF(t), "a", time.Second)
	a := &answering{codes: map[string]int{"unknown": 500, "refused": 409}}
	a.flush(t, q)
	wide := &writebehind.Rules{MaxQueued: 100, MaxPerKey: 100}

	unknown := accepted(t, q, post(t, "5", "unknown"))
	after := accepted(t, q, entry(t, "5", "k1", "after", wide))
	if r := becomes(t, q, unknown, writebehind.Dead); !r.Blocks || r.Status != 500 || r.Attempts != 1 {
		t.Errorf("%+v", r)
	}
	if last, err := q.Last(ctx, writebehind.KeyOf("shop", "5")); err != nil || !last[0].Blocked || last[0].ID != after {
		t.Errorf("%+v, %v", last, err)
	}
	a.says("unknown", 0)
	if err := q.Retry(ctx, unknown, false); err != nil {
		t.Fatal(err)
	}
	becomes(t, q, after, writebehind.Done)
	if got := a.sent(); !slices.Equal(got, []string{"unknown", "unknown", "after"}) {
		t.Errorf("the origin has seen %v", got)
	}
	if err := q.Retry(ctx, unknown, true); !errors.Is(err, writebehind.ErrNotDead) {
		t.Errorf("a write that is done is tried again: %v", err)
	}

	refused := accepted(t, q, entry(t, "6", "k2", "refused", wide))
	becomes(t, q, refused, writebehind.Dead)
	later := accepted(t, q, entry(t, "6", "k3", "later", wide))
	becomes(t, q, later, writebehind.Done)
	if r := becomes(t, q, refused, writebehind.Dead); r.Blocks || !r.Overtaken {
		t.Errorf("%+v", r)
	}
	if err := q.Retry(ctx, refused, false); !errors.Is(err, writebehind.ErrLater) {
		t.Errorf("a write that undoes a later one is tried again: %v", err)
	}
	before, _ := q.Find(ctx, later)
	a.says("refused", 0)
	if err := q.Retry(ctx, refused, true); err != nil {
		t.Fatal(err)
	}
	if r := becomes(t, q, refused, writebehind.Done); r.Sequence <= before.Sequence {
		t.Errorf("forced, its sequence is %d, and that of the write which it undoes %d", r.Sequence, before.Sequence)
	}
	if err := q.Drop(ctx, refused, true); !errors.Is(err, writebehind.ErrNotDead) {
		t.Errorf("a write that is done is dropped: %v", err)
	}
	if err := q.Drop(ctx, writebehind.NewID(), true); !errors.Is(err, writebehind.ErrUnknown) {
		t.Errorf("what is not there is dropped: %v", err)
	}

	a.says("dropped", 400)
	dropped := accepted(t, q, entry(t, "7", "k4", "dropped", wide))
	becomes(t, q, dropped, writebehind.Dead)
	if list, err := q.List(ctx, Listed{Dead: true, Route: "stock", Most: 9}); err != nil || len(list) != 1 || list[0].ID != dropped {
		t.Errorf("%+v, %v", list, err)
	}
	if err := q.Drop(ctx, dropped, false); err != nil {
		t.Fatal(err)
	}
	if s, err := q.Stats(ctx); err != nil || len(s.Depth) != 0 || s.Dead != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Who takes over sends once more what may be, waits for a decision about what may not, and only confirms what the origin has.
func TestTakeover(t *testing.T) {
	ctx := t.Context()
	v := withAOF(t)
	dead, _ := open(t, v, "dead", 300*time.Millisecond)
	wide := &writebehind.Rules{MaxQueued: 100, MaxPerKey: 100}
	put, posted := accepted(t, dead, entry(t, "1", "k1", "put", wide)), accepted(t, dead, post(t, "2", "posted"))
	flushed, unseen := accepted(t, dead, entry(t, "3", "k3", "flushed", wide)), accepted(t, dead, post(t, "4", "unseen"))
	paused := accepted(t, dead, entry(t, "5", "k5", "paused", wide))
	owned, _, err := dead.Tend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for key, id := range map[string]string{"1": put, "2": posted, "3": flushed, "5": paused} {
		o := owned[slices.IndexFunc(owned, func(o writebehind.Ownership) bool {
			return o.Partition == writebehind.PartitionOf(writebehind.KeyOf("shop", key))
		})]
		if _, _, err := dead.Begin(ctx, o, id); err != nil {
			t.Fatal(err)
		}
		if id == flushed {
			if err := dead.Settle(ctx, o, id, writebehind.Outcome{State: "flushed", Status: 200}); err != nil {
				t.Fatal(err)
			}
		}
		if id == paused {
			if err := dead.Settle(ctx, o, id, writebehind.Outcome{State: writebehind.Waiting, Status: 503, Wait: 2 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
	}
	pause, err := dead.Find(ctx, paused)
	if err != nil || pause.Next.Sub(pause.Updated) != 2*time.Second {
		t.Errorf("%+v, %v", pause, err)
	}
	next, _ := open(t, v, "next", 300*time.Millisecond)
	a := &answering{codes: map[string]int{}}
	a.flush(t, next)
	becomes(t, next, put, writebehind.Done)
	becomes(t, next, flushed, writebehind.Done)
	becomes(t, next, unseen, writebehind.Done)
	if r := becomes(t, next, posted, writebehind.Dead); !r.Blocks {
		t.Errorf("%+v", r)
	}
	if r := becomes(t, next, paused, writebehind.Done); r.Updated.Before(pause.Next) || r.Attempts != 2 {
		t.Errorf("%+v: the pause of the owner before is not kept: %v", r, pause.Next)
	}
	got := a.sent()
	slices.Sort(got)
	if want := []string{"paused", "put", "unseen"}; !slices.Equal(got, want) || a.confirmations() < 2 {
		t.Errorf("the origin has seen %v, want %v; confirmed %d times", got, want, a.confirmations())
	}
}

// A write that waits for a long time can be dropped on purpose, and those behind it go on.
func TestDropWaiting(t *testing.T) {
	ctx := t.Context()
	q, _ := open(t, withAOF(t), "a", time.Second)
	a := &answering{codes: map[string]int{"slow": 503}}
	a.flush(t, q)
	wide := &writebehind.Rules{MaxQueued: 100, MaxPerKey: 100}
	slow := accepted(t, q, entry(t, "5", "k1", "slow", wide))
	between, after := accepted(t, q, entry(t, "5", "k2", "between", wide)), accepted(t, q, entry(t, "5", "k3", "after", wide))
	if err := q.Drop(ctx, between, false); !errors.Is(err, writebehind.ErrNotDead) {
		t.Errorf("a write that waits is dropped without force: %v", err)
	}
	if err := q.Drop(ctx, between, true); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) { // it is at the origin now and then
		err := q.Drop(ctx, slow, true)
		if err == nil {
			break
		}
		if !errors.Is(err, writebehind.ErrNotDead) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	becomes(t, q, after, writebehind.Done)
	becomes(t, q, slow, writebehind.Dropped)
	if got := a.sent(); slices.Contains(got, "between") {
		t.Errorf("the origin has seen %v", got)
	}
	if s, err := q.Stats(ctx); err != nil || s.Depth["stock"] != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// late is an origin that does not answer the first try of each path in time, and may be at work on the try for as long as it says.
type late struct {
	*testing.T
	atWork time.Duration
	mu     sync.Mutex
	ends   map[string]time.Time // by path
}

func (l *late) send(_ context.Context, w *writebehind.Write, _ uint64, _ func() bool) writebehind.Try {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if end, tried := l.ends[w.Path]; !tried {
		l.ends[w.Path] = now.Add(l.atWork)
		return writebehind.Try{Sent: true, Problem: "origin-timeout", AtWork: l.atWork}
	} else if now.Before(end) {
		l.Errorf("%q is sent to %s %v before the origin has ended what it did not answer", w.Body, w.Path, end.Sub(now))
	}
	return writebehind.Try{Sent: true, Status: 200, Confirmed: true}
}

func (l *late) flush(q *Queue) (stop func()) {
	f := writebehind.NewFlusher(writebehind.FlusherOptions{Queue: q, Sealer: sealer(l.T), Send: l.send, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	l.Cleanup(stop)
	return stop
}

// An origin that did not answer in time may be at work on a write yet: whatever an operator decides about the write meanwhile, and whoever
// owns it then, nothing of the key begins before that is over.
func TestDecisionsWaitForTheOrigin(t *testing.T) {
	ctx := t.Context()
	v := withAOF(t)
	a, _ := open(t, v, "a", time.Second)
	b, _ := open(t, v, "b", time.Second)
	origin := &late{T: t, atWork: 3 * time.Second, ends: map[string]time.Time{}}
	stop := origin.flush(a)
	wide := &writebehind.Rules{MaxQueued: 100, MaxPerKey: 100}
	old := &writebehind.Write{Route: "stock", Upstream: "api", Method: http.MethodPut, Path: "/old", Header: http.Header{}, MaxAge: time.Nanosecond, Body: []byte("slow old")}
	write := func(key string) *writebehind.Entry {
		switch key {
		case "forced":
			return entry(t, key, "k-"+key, "slow "+key, wide)
		case "old":
			return made(t, key, old)
		}
		return post(t, key, "slow "+key)
	}
	for _, of := range []struct {
		key    string
		is     writebehind.State // the outcome of the first try
		decide func(id string) error
	}{
		{"old", writebehind.Dead, func(string) error { return nil }},
		{"retried", writebehind.Dead, func(id string) error { return a.Retry(ctx, id, false) }},
		{"dropped", writebehind.Dead, func(id string) error { return a.Drop(ctx, id, false) }},
		{"forced", writebehind.Waiting, func(id string) error { return a.Drop(ctx, id, true) }},
		{"next owner", writebehind.Dead, func(id string) error { stop(); origin.flush(b); return a.Retry(ctx, id, false) }}, // also of those above
	} {
		id := accepted(t, a, write(of.key))
		becomes(t, a, id, of.is)
		if err := of.decide(id); err != nil {
			t.Fatalf("%s: %v", of.key, err)
		}
		after := accepted(t, a, entry(t, of.key, "after "+of.key, "after", wide))
		t.Run(of.key, func(t *testing.T) {
			t.Parallel()
			becomes(t, a, after, writebehind.Done)
		})
	}
}

// What the origin has is not sent once more for want of a confirmation, and is not done before it is there.
func TestUnconfirmed(t *testing.T) {
	q, _ := open(t, withAOF(t), "a", time.Second)
	a := &answering{codes: map[string]int{}}
	a.flush(t, q)
	id := accepted(t, q, entry(t, "1", "k1", "unconfirmed", &writebehind.Rules{MaxQueued: 9, MaxPerKey: 9}))
	becomes(t, q, id, "flushed")
	becomes(t, q, id, writebehind.Done)
	if got := a.sent(); len(got) != 1 || a.confirmations() != 2 {
		t.Errorf("the origin has seen %v; confirmed %d times", got, a.confirmations())
	}
}

// An instance that comes gets its share of the partitions, and writes go on in their order.
func TestShares(t *testing.T) {
	v := withAOF(t)
	a, b := &answering{codes: map[string]int{}}, &answering{codes: map[string]int{}}
	one, _ := open(t, v, "one", 300*time.Millisecond)
	a.flush(t, one)
	wide := &writebehind.Rules{MaxQueued: 1000, MaxPerKey: 1000}
	becomes(t, one, accepted(t, one, entry(t, "0", "k0", "x", wide)), writebehind.Done)
	two, _ := open(t, v, "two", 300*time.Millisecond)
	stop := b.flush(t, two)
	for n := 0; len(b.sent()) == 0; n++ {
		if n > 2000 {
			t.Fatal("the other gets nothing")
		}
		becomes(t, one, accepted(t, one, entry(t, fmt.Sprint(n), fmt.Sprint("n", n), "x", wide)), writebehind.Done)
	}
	stop() // in good order: the first takes all of it back at once
	for n := range 2 * writebehind.Partitions {
		becomes(t, one, accepted(t, one, entry(t, fmt.Sprint(n), fmt.Sprint("m", n), "x", wide)), writebehind.Done)
	}
}
