package valkey

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

// What one instance invalidates is invalid on all of them when the call returns.
func TestPurgeHoldsEverywhere(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s Server) {
		fleet := []*member{join(t, s, "a"), join(t, s, "b"), join(t, s, "c")}
		for round := range 20 {
			k := key("k%d", round)
			var tokens []invalidation.Token
			for _, m := range fleet {
				tokens = append(tokens, m.ledger.Token())
			}
			r := purge(t, fleet[round%3], k)
			if !slices.Equal(r.Acked, []string{"a", "b", "c"}) || r.Instances != 3 || !r.Held || !r.Recorded || r.Seq == 0 {
				t.Fatalf("receipt %+v", r)
			}
			for i, m := range fleet {
				if m.admits(tokens[i], k) {
					t.Fatalf("%s still takes an answer from before the purge", m.name)
				}
				if !m.admits(tokens[i], key("other")) || !m.admits(m.ledger.Token(), k) {
					t.Fatalf("%s refuses what was not purged", m.name)
				}
			}
			if r.Took > 50*time.Millisecond {
				t.Logf("round %d took %v", round, r.Took)
			}
			if round == 19 {
				t.Logf("purge took %v", r.Took)
			}
		}
	})
}

// A fence stands everywhere, and its end says whether anybody else touched what it stood around.
func TestFence(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s Server) {
		a, b := join(t, s, "a"), join(t, s, "b")
		for _, disturbed := range []bool{false, true} {
			f, err := a.Begin(t.Context(), []policy.Member{key("k")})
			if err != nil {
				t.Fatal(err)
			}
			if a.admits(a.ledger.Token(), key("k")) {
				t.Fatal("the writer's own instance stores behind the fence")
			}
			before := a.ledger.Token()
			b.await(t, "fence", func() bool { return !b.admits(b.ledger.Token(), key("k")) })
			if disturbed {
				purge(t, b, key("k"))
			}
			r, err := a.End(t.Context(), f, invalidation.Order{Members: []policy.Member{key("list")}})
			if err != nil || r.Exclusive(before) == disturbed {
				t.Fatalf("disturbed %v: receipt %+v, error %v", disturbed, r, err)
			}
			for _, m := range []*member{a, b} {
				if !m.admits(m.ledger.Token(), key("k")) {
					t.Errorf("%s still has the fence after its end", m.name)
				}
			}
			if r, err = a.End(t.Context(), f, invalidation.Order{}); err != nil || r.Exclusive(a.ledger.Token()) {
				t.Errorf("ended twice: receipt %+v, error %v", r, err)
			}
		}
	})
}

// The receipt of an order says whether anybody else named its members, on whatever instance.
func TestExclusiveOrders(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s Server) {
		a, b := join(t, s, "a"), join(t, s, "b")
		for _, named := range []string{"another", "k"} {
			before := a.ledger.Token()
			purge(t, b, key("%s", named))
			r, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("k"), key("list")}})
			if err != nil || r.Exclusive(before) == (named == "k") || !r.Exclusive(a.ledger.Token()) {
				t.Errorf("after a purge of %s: receipt %+v, error %v", named, r, err)
			}
		}
		many := make([]policy.Member, invalidation.MaxRecordIDs+1)
		for i := range many {
			many[i] = key("m%d", i)
		}
		if r, err := a.Invalidate(t.Context(), invalidation.Order{Members: many}); err != nil || r.Exclusive(a.ledger.Token()) {
			t.Errorf("of several records one cannot speak for all: %+v, %v", r, err)
		}
	})
}

// Where a fence has begun, nobody uses a copy from before it: the origin may do the write from then on.
func TestFenceHoldsEverywhereOnceItHasBegun(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s Server) {
		a, b := join(t, s, "a"), join(t, s, "b")
		for i := range 200 {
			if _, err := a.Begin(t.Context(), []policy.Member{key("k%d", i)}); err != nil {
				t.Fatal(err)
			}
			if b.Lease().Valid(time.Now()) && b.admits(b.ledger.Token(), key("k%d", i)) {
				t.Fatalf("fence %d has begun, and another instance does not know of it", i)
			}
		}
	})
}

// However much the answer to a write names, all of that is made unusable, and nothing else.
func TestEndThatNamesVeryMuch(t *testing.T) { // not beside others, which it would starve
	long := func(o *Options) { o.Lease = 2 * time.Second } // so much may keep the server of a busy machine longer than a third of 600 ms
	eachServer(t, func(t *testing.T, s Server) {
		a, b := join(t, s, "a", long), join(t, s, "b", long)
		f, err := a.Begin(t.Context(), []policy.Member{key("fenced")})
		if err != nil {
			t.Fatal(err)
		}
		b.await(t, "fence", func() bool { return !b.admits(b.ledger.Token(), key("fenced")) })
		before := b.ledger.Token()
		many := make([]policy.Member, 2*invalidation.MaxRecordIDs)
		for i := range many {
			many[i] = key("m%d", i)
		}
		r, err := a.End(t.Context(), f, invalidation.Order{Members: many})
		if err != nil || r.Exclusive(a.ledger.Token()) {
			t.Fatalf("receipt %+v, error %v", r, err)
		}
		for _, m := range append(many, key("fenced")) {
			if b.admits(before, m) || !b.admits(b.ledger.Token(), m) {
				t.Fatalf("%s was not ended", m)
			}
		}
		if !b.admits(before, key("another")) {
			t.Error("what nobody named is gone as well")
		}
	})
}

// An instance that joins knows what was invalidated before, which fences stand, and what was announced.
func TestJoining(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s Server) {
		a := join(t, s, "a")
		for i := range 50 {
			purge(t, a, key("k%d", i), key("l%d", i))
		}
		if _, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("soft")}, Soft: true}); err != nil {
			t.Fatal(err)
		}
		before, ok := a.ToLog(a.ledger.Token())
		if !ok {
			t.Fatal("the position is not in the log")
		}
		if _, err := a.Begin(t.Context(), []policy.Member{key("fenced")}); err != nil {
			t.Fatal(err)
		}
		for _, n := range []invalidation.Notice{{Subject: "mode/x", Body: []byte("off")}, {Subject: "mode/y", Body: []byte("off")}, {Subject: "mode/y"}} {
			if _, err := a.Announce(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		purge(t, a, key("last"))
		b := join(t, s, "b")
		if n := b.told(); len(n) != 1 || n[0].Subject != "mode/x" || string(n[0].Body) != "off" {
			t.Errorf("told of %+v", n)
		}
		if b.admits(b.ledger.Token(), key("fenced")) {
			t.Error("the fence does not stand")
		}
		t.Run("copies of others", func(t *testing.T) {
			token, ok := b.FromLog(before)
			if !ok {
				t.Fatal("a position of the same log is refused")
			}
			if b.admits(token, key("last")) {
				t.Error("what was purged after it is taken for valid")
			}
			if !b.admits(token, key("k7")) || !b.admits(token, key("elsewhere")) {
				t.Error("what was purged before it is taken for invalid")
			}
			first, ok := b.FromLog(fleet.LogPosition{History: before.History, Seq: 5})
			if !ok || b.admits(first, key("k40")) || b.admits(first, key("soft")) || !b.admits(first, key("k1")) {
				t.Error("marks of the snapshot are not where they belong")
			}
			other := before
			other.History[0]++
			if _, ok := b.FromLog(other); ok {
				t.Error("a position of another log is taken")
			}
			ahead := before
			ahead.Seq += 1000
			if _, ok := b.FromLog(ahead); ok {
				t.Error("a position that is still to come is taken")
			}
		})
	})
}

// A purge waits for an instance that has fallen silent until its lease has lapsed, and no longer once it was reaped. One that
// leaves is not waited for.
func TestSilentInstance(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	a, b, c := join(t, s, "a"), join(t, s, "b"), join(t, s, "c")
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := purge(t, a, key("k")); !slices.Equal(r.Acked, []string{"a", "b"}) || len(r.Reaped) != 0 {
		t.Errorf("after c has left: %+v", r)
	}
	purge(t, a, key("k"))
	b.end()
	until := b.Lease()
	r := purge(t, a, key("k"))
	if !slices.Equal(r.Acked, []string{"a"}) || !slices.Equal(r.Reaped, []string{"b"}) {
		t.Errorf("with b dead: %+v", r)
	}
	if until.Valid(time.Now()) {
		t.Error("the purge was confirmed while the silent instance still had its lease")
	}
	if r := purge(t, a, key("k")); r.Took > lease {
		t.Errorf("still waits for what was reaped: %v", r.Took)
	}
}

// An instance that has died is taken off the list although nobody waits for it: what all share is not shared with it, and the
// next purge is as quick as any.
func TestSilentInstanceIsTakenOffTheList(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	a, b := join(t, s, "a"), join(t, s, "b")
	a.await(t, "other instance", func() bool { return a.Instances() == 2 })
	b.end()
	until := b.Lease()
	a.await(t, "end of it", func() bool { return a.Instances() == 1 })
	if until.Valid(time.Now()) {
		t.Error("it was taken off the list while it still had its lease")
	}
	if r := purge(t, a, key("k")); len(r.Reaped) > 0 || r.Took > lease/2 {
		t.Errorf("a purge after that: %+v", r)
	}
}

// Whoever has written what the list says of an instance, and however it is spelt, is off the list when its lease must have lapsed: else
// each purge would wait for it again.
func TestInstanceOfAnotherSpellingIsTakenOffTheList(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	for i, entry := range []string{"1:0:0", "01:0:0", "1:000:1", "1:0:1:3000", "1:0:", "1:0", "1:0:owes"} {
		name := "ghost-" + strconv.Itoa(i)
		run(t, server, "HSET", "{test}:leases", name, strconv.FormatInt(lease.Milliseconds(), 10)+":0:0")
		run(t, server, "HSET", "{test}:live", name, entry)
		if r := purge(t, a, key("k")); !slices.Equal(r.Reaped, []string{name}) {
			t.Errorf("%q: %+v", entry, r)
		}
		a.await(t, "end of "+name, func() bool { return a.Instances() == 1 })
		if r := purge(t, a, key("k")); len(r.Reaped) > 0 {
			t.Errorf("%q is still there: %+v", entry, r)
		}
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	a, b := join(t, s, "a"), join(t, s, "b")
	if _, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("k")}, Settle: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	token := b.ledger.Token()
	if !b.admits(token, key("k")) {
		t.Fatal("not yet")
	}
	a.end()
	b.await(t, "repetition", func() bool { return !b.admits(token, key("k")) })
	if at := b.State().Position; at != 2 {
		t.Errorf("position %d, want 2: one repetition", at)
	}
}

// However many marks there are, and however short leases, an instance that joins gets to know them all.
func TestJoiningWithManyMarks(t *testing.T) { // not beside others, which it would starve
	const marks = 300_000
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	a.end()
	// In parts: a script that runs for seconds, on a busy machine, has the server answer everybody that it is busy.
	const part = marks / 20
	for first := 1; first < marks; first += part {
		run(t, server, "EVAL", `for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('ZADD', KEYS[1], i, struct.pack('>I4I4', 0x30000000, i)) end`,
			"1", "{test}:hard", strconv.Itoa(first), strconv.Itoa(first+part-1))
	}
	run(t, server, "EVAL", `redis.call('HSET', KEYS[1], 's', ARGV[1])
redis.call('XADD', KEYS[2], ARGV[1] .. '-0', 'n', 'abc', 'e', '')`, "2", "{test}:meta", "{test}:log", strconv.Itoa(marks))
	b := start(t, serverAt(server.Address()), "b", func(o *Options) { o.Lease = 120 * time.Millisecond })
	b.await(t, "end of the log", func() bool { return b.State().Position == marks })
	if n := b.ledger.Marks(); n != marks {
		t.Errorf("%d marks, want %d", n, marks)
	}
}

// A fence whose writer has died ends by itself, and an abandoned one when its time has come.
func TestFenceWithoutWriter(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	a, b := join(t, s, "a"), join(t, s, "b")
	f, err := a.Begin(t.Context(), []policy.Member{key("k")})
	if err != nil {
		t.Fatal(err)
	}
	b.await(t, "fence", func() bool { return !b.admits(b.ledger.Token(), key("k")) })
	token := b.ledger.Token()
	a.Abandon(f, 200*time.Millisecond)
	b.await(t, "end of fence", func() bool { return b.admits(b.ledger.Token(), key("k")) })
	if b.admits(token, key("k")) {
		t.Error("what was fetched behind the fence is taken for valid after it")
	}
}

// An entry that this version does not know invalidates everything.
func TestEntryOfAnotherVersion(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	purge(t, a, key("k"))
	token := a.ledger.Token()
	run(t, server, "EVAL", "local s = redis.call('HINCRBY', KEYS[1], 's', 1) redis.call('XADD', KEYS[2], s .. '-0', 'n', 'abc', 'e', 'from the future')",
		"2", "{test}:meta", "{test}:log")
	a.await(t, "entry", func() bool { return a.State().Position == 2 })
	if a.admits(token, key("anything")) {
		t.Error("an entry that nobody understands has no effect")
	}
	purge(t, a, key("k"))
}

func run(t *testing.T, s *servers.ValkeyServer, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.CLI(ctx, args...); err != nil {
		t.Fatal(err)
	}
}
