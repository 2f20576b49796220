package valkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"
	"cacheproxy/test/servers"
)

// Whatever somebody or something has done to what is kept: it is a miss, no error, and gives way to what is right.
func TestDamagedOnTheServerIsAMiss(t *testing.T) {
	_, s := alone(t, "")
	c, ends := raw(t, s), &tally{}
	o := options(connect(t, s), following(9))
	o.Observe = ends.note
	a := tier(t, o)
	at := a.key('e', "key")
	set := func(value string) {
		t.Helper()
		if err := c.Do(t.Context(), c.B().Set().Key(at).Value(value).ExSeconds(60).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	for about, damage := range map[string]func(value string){
		"cut":                 func(v string) { set(v[:len(v)-1]) },
		"cut to its front":    func(v string) { set(v[:stampEnd]) },
		"garbled":             func(v string) { set(v[:nonceAt+3] + "?" + v[nonceAt+4:]) },
		"of a later position": func(v string) { set(v[:seqAt] + "\xff" + v[seqAt+1:]) },
		"something else":      func(string) { set("something else") },
		"another type": func(string) {
			set("")
			c.Do(t.Context(), c.B().Del().Key(at).Build())
			c.Do(t.Context(), c.B().Lpush().Key(at).Element("a").Build())
		},
		"for ever": func(string) { c.Do(t.Context(), c.B().Persist().Key(at).Build()) },
		"too long": func(v string) { set(v + strings.Repeat("a", 1<<20+overhead)) },
	} {
		put(t, a, "key", response(5, "body"))
		value, err := c.Do(t.Context(), c.B().Get().Key(at).Build()).ToString()
		if err != nil {
			t.Fatal(err)
		}
		damage(value)
		before := ends.of("decode garbled")
		wantBody(t, about, a, "key", "")
		if ends.of("decode garbled") != before+1 {
			t.Errorf("%s: nobody was told", about)
		}
		put(t, a, "key", response(5, "whole"))
		wantBody(t, about+", replaced", a, "key", "whole")
	}
	// A hash of storage keys may be the same for two, in theory.
	if err := c.Do(t.Context(), c.B().Copy().Source(at).Destination(a.key('e', "other")).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	wantBody(t, "of another storage key", a, "other", "")
	if a.Down() {
		t.Error("the tier is down for what was damaged")
	}
}

// Ages count what has passed on the server, whatever the clocks of the instances say: here, the writer's is ahead by an hour.
func TestAgeIsTheServers(t *testing.T) {
	_, s := alone(t, "")
	c, a := raw(t, s), tier(t, options(connect(t, s), following(9)))
	ahead := response(1, "body")
	received(ahead, time.Now().Add(time.Hour))
	put(t, a, "key", ahead)
	read := func() time.Duration { return get(t, a, "key").(*store.Copy).Life().Age(time.Now()) }
	if age := read(); age > 10*time.Second {
		t.Errorf("just written, it is %v old", age)
	}
	left := ahead.Life().Keep - 20*time.Minute
	if err := c.Do(t.Context(), c.B().Pexpire().Key(a.key('e', "key")).Milliseconds(left.Milliseconds()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if age := read(); age < 20*time.Minute || age > 20*time.Minute+10*time.Second {
		t.Errorf("after 20 minutes on the server it is %v old", age)
	}
	// And where the server's expiry says less than the clocks do, the clocks count.
	old := response(2, "body")
	received(old, time.Now().Add(-30*time.Minute))
	put(t, a, "key", old)
	if err := c.Do(t.Context(), c.B().Pexpire().Key(a.key('e', "key")).Milliseconds(old.Life().Keep.Milliseconds()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if age := read(); age < 30*time.Minute {
		t.Errorf("fetched 30 minutes ago, it is %v old", age)
	}
	received(old, time.Now().Add(-old.Life().Keep))
	value, err := encode("key", old, a.options.Positions.(*samplePositions).at(2), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), c.B().Set().Key(a.key('e', "key")).Value(string(value)).ExSeconds(60).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	wantBody(t, "beyond its end by the clocks", a, "key", "")
}

// A server that takes too long costs a few requests their patience, and then none. It is noticed without any when it is back.
func TestStalledServer(t *testing.T) {
	v, _ := alone(t, "")
	g, s := newGate(t, v.Address())
	ends := &tally{}
	o := options(connect(t, s), following(9))
	o.Timeout, o.Observe = 50*time.Millisecond, ends.note
	a := tier(t, o)
	put(t, a, "key", response(1, "body"))
	g.set(true, false)
	for range 2 * tripAfter {
		gone, cancel := context.WithCancel(t.Context())
		go cancel()
		_, err := a.Get(gone, "key")
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("get for who has gone: %v", err)
		}
	}
	if a.Down() {
		t.Error("clients that went away are taken for failures of the server")
	}
	for n := range tripAfter {
		if a.Down() {
			t.Fatalf("down after %d failures", n)
		}
		began := time.Now()
		if _, err := a.Get(t.Context(), "key"); kind(err) != "timeout" || time.Since(began) > time.Second {
			t.Fatalf("get of a stalled server: %v after %v", err, time.Since(began))
		}
	}
	if !a.Down() {
		t.Fatal("not down after failures in a row")
	}
	claims := NewClaims(a)
	for range 10_000 {
		_, err := a.Get(t.Context(), "key")
		_, claim := claims.Claim(t.Context(), "key")
		if put := a.Put(t.Context(), "key", response(2, "")); !errors.Is(err, store.ErrDown) || !errors.Is(put, store.ErrDown) || !errors.Is(claim, store.ErrDown) {
			t.Fatalf("while it is down: get %v, put %v, claim %v", err, put, claim)
		}
	}
	if n := ends.of("get timeout") + ends.of("get down") + ends.of("put timeout") + ends.of("put down") + ends.of("claim down"); n != tripAfter {
		t.Errorf("%d operations were tried on a dead server, want the first %d only", n, tripAfter)
	}
	before := ends.of("probe timeout")
	eventually(t, "the server is asked whether it is back", func() bool { return ends.of("probe timeout") > before })
	g.set(false, false)
	eventually(t, "the tier is up again", func() bool { return !a.Down() })
	wantBody(t, "back again", a, "key", "body")
}

// Nobody waits longer for a connection to be made than for an answer.
func TestStalledConnect(t *testing.T) {
	v, _ := alone(t, "")
	g, s := newGate(t, v.Address())
	o := options(connect(t, s), following(9))
	o.Timeout = 50 * time.Millisecond
	a := tier(t, o)
	g.set(true, false)
	g.cut()
	var wg sync.WaitGroup
	wg.Go(func() { // the first notices that there is no connection; the next makes one, and may take its time
		for range 2 {
			if err := a.Put(t.Context(), "key", response(1, "body")); err == nil {
				t.Error("put while there is no connection")
			}
		}
	})
	eventually(t, "a connection is being made", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.open) > 0 })
	for range 20 {
		wg.Go(func() {
			began := time.Now()
			if _, err := a.Get(t.Context(), "key"); err == nil || time.Since(began) > writeTimeout/2 {
				t.Errorf("get while there is no connection: %v after %v", err, time.Since(began))
			}
		})
	}
	wg.Wait()
	g.set(false, false)
	eventually(t, "the tier is up again", func() bool { return !a.Down() })
	wantBody(t, "back again", a, "key", "")
}

// A server that was killed is down, and up again with what it has kept.
func TestKilledServer(t *testing.T) {
	for _, program := range []string{servers.ValkeyProgram, servers.RedisProgram} {
		t.Run(program, func(t *testing.T) {
			v := servers.Valkey(t, servers.ValkeyOptions{Program: program, Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
			a := tier(t, options(connect(t, valkey.Server{Addresses: []string{v.Address()}}), following(9)))
			put(t, a, "key", response(1, "body"))
			v.Kill()
			for n := 0; !a.Down(); n++ {
				if _, err := a.Get(t.Context(), "key"); err == nil || n > 2*tripAfter {
					t.Fatalf("get %d of a dead server: %v", n, err)
				}
			}
			if err := v.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the tier is up again", func() bool { return !a.Down() })
			wantBody(t, "after the restart", a, "key", "body")
			put(t, a, "key", response(2, "newer"))
			wantBody(t, "written after the restart", a, "key", "newer")
		})
	}
}

func TestSentinelFailover(t *testing.T) {
	s, at := sentinel(t, "")
	a := tier(t, options(connect(t, at), following(9)))
	put(t, a, "key", response(1, "body"))
	eventually(t, "the replica has the copy", func() bool {
		n, _ := s.Replica.CLI(t.Context(), "DBSIZE")
		return n == "1"
	})
	s.Primary.Kill()
	eventually(t, "the copy is read from what was the replica", func() bool {
		item, _ := a.Get(t.Context(), "key")
		return item != nil
	})
	eventually(t, "copies are written to it", func() bool { return a.Put(t.Context(), "key", response(2, "newer")) == nil })
	wantBody(t, "written after the failover", a, "key", "newer")
}

// What the heartbeat says counts at once, in both directions.
func TestAlive(t *testing.T) {
	_, s := alone(t, "")
	alive, ends := false, &tally{}
	o := options(connect(t, s), following(9))
	o.Alive, o.Observe = func() bool { return alive }, ends.note
	a := tier(t, o)
	if _, err := a.Get(t.Context(), "key"); !errors.Is(err, store.ErrDown) || !a.Down() {
		t.Errorf("get while the heartbeat is missing: %v", err)
	}
	if _, err := a.Stats(t.Context()); !errors.Is(err, store.ErrDown) {
		t.Errorf("statistics while the heartbeat is missing: %v", err)
	}
	if len(ends.ends) != 0 {
		t.Errorf("operations %v on a server that is known not to be there", ends.ends)
	}
	alive = true
	put(t, a, "key", response(1, "body"))
	wantBody(t, "with a heartbeat", a, "key", "body")
}

func TestNotConnected(t *testing.T) {
	a := tier(t, options(valkey.NewConnection(valkey.Server{Addresses: []string{"127.0.0.1:1"}}, 0), following(9)))
	if _, err := a.Get(t.Context(), "key"); !errors.Is(err, store.ErrDown) || !a.Down() {
		t.Errorf("get before there is a connection: %v", err)
	}
}

// A server that is full takes nothing more, and goes on giving.
func TestFullServer(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--maxmemory", "8mb", "--maxmemory-policy", "noeviction"}})
	a := tier(t, options(connect(t, valkey.Server{Addresses: []string{v.Address()}}), following(9)))
	put(t, a, "first", response(1, "body"))
	body, refused := strings.Repeat("a", 512<<10), 0
	for n := range 40 {
		if err := a.Put(t.Context(), fmt.Sprint(n), response(1, body)); kind(err) == "refused" {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused < 2*tripAfter || a.Down() {
		t.Errorf("%d writes were refused, and the tier is down: %v", refused, a.Down())
	}
	wantBody(t, "on a full server", a, "first", "body")
}

// What is on its way to a slow server is bounded, in number and in bytes.
func TestWritesAreBounded(t *testing.T) {
	v, _ := alone(t, "")
	g, s := newGate(t, v.Address())
	o := options(connect(t, s), following(9))
	o.MaxObject = maxWriteBytes
	for about, c := range map[string]struct {
		items, most, size int
		patience          time.Duration // so that all have begun before the first gives up, on a machine that has much else to do
	}{
		"number": {maxWrites + 50, maxWrites, 10, time.Second},
		"bytes":  {20, 8, maxWriteBytes/8 - 1000, 5 * time.Second},
	} {
		a := New(o) // nobody looks after it: it stays down once it is
		a.patience = c.patience
		g.set(true, false)
		var wg sync.WaitGroup
		results := make(chan error, c.items)
		body := strings.Repeat("a", c.size)
		for n := range c.items {
			wg.Go(func() { results <- a.Put(t.Context(), fmt.Sprint(n), response(1, body)) })
		}
		wg.Wait()
		close(results)
		kinds := map[string]int{}
		for err := range results {
			kinds[kind(err)]++
		}
		g.set(false, false)
		if busy := c.items - c.most; kinds["busy"] < busy || kinds["timeout"] < tripAfter {
			t.Errorf("%s: writes ended as %v, want at least %d busy", about, kinds, busy)
		}
		if a.writes.Load() != 0 || a.bytes.Load() != 0 {
			t.Errorf("%s: %d writes of %d bytes are still counted", about, a.writes.Load(), a.bytes.Load())
		}
	}
	a := New(o)
	if !a.reserve(2*maxWriteBytes) || a.reserve(1) {
		t.Error("one item that is larger than everything together may be is not written, or is not the only one")
	}
	a.release(2 * maxWriteBytes)
	if !a.reserve(maxWriteBytes-1) || !a.reserve(1) || a.reserve(1) {
		t.Error("the bytes on their way are not counted")
	}
}

func TestStats(t *testing.T) {
	everywhere(t, func(t *testing.T, s valkey.Server) {
		a := tier(t, options(connect(t, s), following(9)))
		before, err := a.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			put(t, a, fmt.Sprint(n), response(1, strings.Repeat("a", 100<<10)))
		}
		after, err := a.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.Entries-before.Entries != 30 || after.Bytes-before.Bytes < 30*100<<10 || after.Bytes-before.Bytes > 100*100<<10 {
			t.Errorf("30 copies of 100 KiB: %+v before, %+v after", before, after)
		}
	})
	t.Run("evictions", func(t *testing.T) {
		v := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--maxmemory", "4mb", "--maxmemory-policy", "volatile-lru"}})
		a := tier(t, options(connect(t, valkey.Server{Addresses: []string{v.Address()}}), following(9)))
		for n := range 100 {
			put(t, a, fmt.Sprint(n), response(1, strings.Repeat("a", 100<<10)))
		}
		stats, err := a.Stats(t.Context())
		if err != nil || stats.Evictions == 0 || int64(stats.Evictions)+stats.Entries != 100 {
			t.Errorf("100 copies where 40 have room: %+v, %v", stats, err)
		}
	})
}

// Without a position that others can place, nothing is written at all.
func TestNothingWithoutPosition(t *testing.T) {
	_, s := alone(t, "")
	a := tier(t, options(connect(t, s), &samplePositions{}))
	put(t, a, "key", response(1, "body"))
	if stats, err := a.Stats(t.Context()); err != nil || stats.Entries != 0 {
		t.Errorf("the server holds %+v, %v", stats, err)
	}
}

// SetMaxObject holds for what is there and for what comes.
func TestSetMaxObject(t *testing.T) {
	_, s := alone(t, "")
	a := tier(t, options(connect(t, s), following(9)))
	put(t, a, "key", response(1, "a long body"))
	a.SetMaxObject(5)
	wantBody(t, "with a lower bound", a, "key", "")
	a.SetMaxObject(50)
	wantBody(t, "with a higher one", a, "key", "a long body")
}

func TestKind(t *testing.T) {
	_, s := alone(t, "")
	c := raw(t, s)
	refused := c.Do(t.Context(), c.B().Arbitrary("NOSUCH").Build()).Error()
	got := map[string]string{}
	for want, err := range map[string]error{
		"": nil, "down": store.ErrDown, "busy": store.ErrBusy, "timeout": context.DeadlineExceeded, "canceled": context.Canceled,
		"refused": refused, "network": io.EOF, "garbled": ErrGarbled,
	} {
		if err != nil {
			err = fmt.Errorf("read copy: %w", err)
		}
		got[want] = kind(err)
	}
	for want, kind := range got {
		if kind != want {
			t.Errorf("kind is %q, want %q", kind, want)
		}
	}
}

// received says when a copy was received that is not stored yet.
func received(c *store.Copy, at time.Time) {
	life := c.Life()
	life.Received = at
	c.SetLife(life)
}
