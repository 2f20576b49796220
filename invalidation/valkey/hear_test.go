package valkey

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

// What one instance writes, the other hears of and acknowledges beside its heartbeats: none comes early for that.
func TestEntriesAreHeard(t *testing.T) {
	t.Parallel()
	for _, program := range servers.ValkeyPrograms() {
		s := serverAt(servers.Valkey(t, servers.ValkeyOptions{Program: program}).Address())
		var beats atomic.Int64
		a, b := join(t, s, "a"), join(t, s, "b", counting(&beats))
		purge(t, a, key("first")) // whose predecessor nobody has applied
		b.await(t, "entry", func() bool { return b.follower.Applied() == a.follower.Applied() })
		const purges = 50
		before, began := beats.Load(), time.Now()
		for range purges {
			token := b.ledger.Token()
			if got := purge(t, a, key("k")); len(got.Acked) != 2 {
				t.Errorf("%s: acknowledged by %v", program, got.Acked)
			}
			if b.admits(token, key("k")) {
				t.Fatalf("%s: a purge was confirmed that the other has not applied", program)
			}
		}
		regular := int64(time.Since(began)/b.syncer.heartbeat) + 1
		if got := beats.Load() - before; got > regular+purges/10 {
			t.Errorf("%s: %d heartbeats for %d purges, %d of them at their time", program, got, purges, regular)
		}
		f, err := a.Begin(t.Context(), []policy.Member{key("fenced")})
		if err != nil {
			t.Fatal(err)
		}
		b.await(t, "fence", func() bool { return !b.admits(b.ledger.Token(), key("fenced")) })
		if _, err := a.End(t.Context(), f, invalidation.Order{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A write that is fenced waits for the other instances twice, before it is sent and after its answer, and neither time for a heartbeat of
// theirs.
func TestFencesAreAcknowledgedWhereTheyAreHeard(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	var beats atomic.Int64
	seldom := func(o *Options) { o.Lease = 3 * time.Second }
	a, b := start(t, s, "a", seldom), start(t, s, "b", seldom, counting(&beats))
	for _, m := range []*member{a, b} {
		m.await(t, "lease", func() bool { return m.Lease().Valid(time.Now()) })
	}
	const writes = 20
	before := beats.Load()
	for i := range writes {
		f, err := a.Begin(t.Context(), []policy.Member{key("k%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.End(t.Context(), f, invalidation.Order{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := beats.Load() - before; got > writes/2 {
		t.Errorf("%d heartbeats for %d writes one after the other", got, writes)
	}
}

// counting counts the heartbeats of an instance.
func counting(beats *atomic.Int64) func(*Options) {
	return func(o *Options) {
		o.Observe = func(op string, _ time.Duration, _ error) {
			if op == "sync" {
				beats.Add(1)
			}
		}
	}
}

// An entry of a version that does not say what it follows on is fetched at once.
func TestEntriesOfOlderVersionsAreFetched(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	purge(t, a, key("first"))
	k, at := a.syncer.keys, a.follower.Applied()
	record := invalidation.Record{IDs: invalidation.IDsOf([]policy.Member{key("k")})}
	script := "local s = redis.call('HGET', KEYS[1], 's') + 1 redis.call('XADD', KEYS[2], s .. '-0', 'n', '7', 'e', ARGV[1]) return redis.call('HSET', KEYS[1], 's', s)"
	token := a.ledger.Token()
	client, err := a.options.Connection.Client()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), client.B().Eval().Script(script).Numkeys(2).Key(k.meta, k.log).Arg(string(record.Append(nil))).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a.await(t, "entry", func() bool { return a.follower.Applied() == at+1 })
	if took := time.Since(began); took > a.syncer.heartbeat/2 || a.admits(token, key("k")) {
		t.Errorf("applied after %v, with heartbeats every %v", took, a.syncer.heartbeat)
	}
	purge(t, a, key("k")) // it follows on an entry whose nonce meta does not tell
}

// An acknowledgement beside the heartbeats says what the server can verify, and puts nobody on the list.
func TestAcknowledgementIsVerified(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	purge(t, a, key("first"))
	purge(t, a, key("second"))
	a.await(t, "acknowledgement", func() bool { return a.Lease().Valid(time.Now()) })
	h := a.hinter
	client, err := a.options.Connection.Client()
	if err != nil {
		t.Fatal(err)
	}
	history, at := a.follower.Place()
	ack := func(instance string, history fleet.History, at fleet.Place) int64 {
		t.Helper()
		h := *h
		h.instance = instance
		keys, args := h.acknowledgement(history, at)
		n, err := ackScript.run(t.Context(), client, keys, args).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		about    string
		instance string
		history  fleet.History
		at       fleet.Place
		want     int64
	}{
		{"what is applied", a.options.Instance, history, at, 1},
		{"an entry before", a.options.Instance, history, fleet.Place{Seq: at.Seq - 1, Nonce: at.Nonce}, 0},
		{"one who is not on the list", "nobody", history, at, 0},
		{"another log", a.options.Instance, fleet.History{}, at, 0},
		{"another entry", a.options.Instance, history, fleet.Place{Seq: at.Seq, Nonce: at.Nonce + 1}, 0},
		{"an entry that is not there", a.options.Instance, history, fleet.Place{Seq: at.Seq + 1, Nonce: at.Nonce}, 0},
	} {
		if got := ack(c.instance, c.history, c.at); got != c.want {
			t.Errorf("%s: %d, want %d", c.about, got, c.want)
		}
	}
}

// Where writes come one after the other, each waits for the others no longer than one that comes alone.
func TestHurryUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const heartbeat = 500 * time.Millisecond
		f := fleet.NewFollower(invalidation.NewLedger(), invalidation.NewLease(time.Now()), 6*heartbeat, "a", 0)
		s := &syncer{heartbeat: heartbeat, follower: f, confirmations: &confirmations{byNonce: map[uint64]*waiter{}}}
		next := func() time.Duration { return s.untilNext(time.Now()) }
		if got := next(); got != heartbeat {
			t.Errorf("nobody waits: %v", got)
		}
		var nonce uint64
		begin := func() *waiter {
			nonce++
			w := &waiter{wait: invalidation.WaitAll, result: make(chan outcome, 1)}
			s.confirmations.expect(nonce, w)
			s.confirmations.deliver([]fleet.Event{{Nonce: nonce, Seq: nonce}}, f)
			return w
		}
		last := begin()
		if got := next(); got != confirmFirst {
			t.Errorf("somebody has begun to wait: %v", got)
		}
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			w := begin()
			s.confirmations.drop(nonce-1, last)
			last = w
			if got := next(); got != confirmEvery && got != confirmSteady {
				t.Fatalf("%v after the first: %v", time.Duration(nonce)*10*time.Millisecond, got)
			}
		}
		time.Sleep(confirmHurry)
		if got := next(); got != heartbeat/10 {
			t.Errorf("an instance is probably dead: %v", got)
		}
	})
}
