package valkey

import (
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy"
	"cacheproxy/test/bubbles"
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

// Who leaves has written the ends of its fences, for which nobody has waited: the others do not have to wait for these to expire.
func TestWhoLeavesEndsItsFences(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	a, b := join(t, s, "a"), join(t, s, "b")
	purge(t, a, key("first"))
	f, err := a.Begin(t.Context(), []policy.Member{key("k")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.End(t.Context(), f, invalidation.Order{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.end()
	b.await(t, "end of the fence", func() bool { return b.admits(b.ledger.Token(), key("k")) })
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

// An entry of a version that does not tell it to all is fetched soon, while an instance of such a version is live.
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
	older := strconv.FormatUint(1<<48, 10) + ":0:0"
	// The lease comes first: a heartbeat that finds the instance on the list without one counts the longest.
	for _, c := range [][2]string{{k.leases, "600:0:0"}, {k.live, older}} {
		if err := client.Do(t.Context(), client.B().Hset().Key(c[0]).FieldValue().FieldValue("older", c[1]).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	a.await(t, "word of the older one", func() bool { return !a.follower.View().AllSpeak })
	if err := client.Do(t.Context(), client.B().Eval().Script(script).Numkeys(2).Key(k.meta, k.log).Arg(string(record.Append(nil))).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a.await(t, "entry", func() bool { return a.follower.Applied() == at+1 })
	if took := time.Since(began); took > a.syncer.heartbeat/2 || a.admits(token, key("k")) {
		t.Errorf("applied after %v, with heartbeats every %v", took, a.syncer.heartbeat)
	}
	if err := client.Do(t.Context(), client.B().Hdel().Key(k.live).Field("older").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	purge(t, a, key("k")) // it follows on an entry whose nonce meta does not tell
}

// Who waits for an entry takes no word for it that names another entry, or comes from another than who was on the list.
func TestAcknowledgementIsOfOneEntry(t *testing.T) {
	t.Parallel()
	f := fleet.NewFollower(invalidation.NewLedger(), invalidation.NewLease(time.Now()), time.Second, "a", 0)
	f.Receive(f.Request(time.Now()), fleet.SyncReply{Server: "s", Live: []fleet.Peer{{Name: "a"}, {Name: "b"}}}, time.Now().Add(-time.Hour))
	for _, c := range []struct {
		about  string
		server string
		listed []string
		ack    func(c *confirmations)
		want   bool
	}{
		{"the other has applied it", "s", []string{"a", "b"}, func(c *confirmations) { c.hear("b", []uint64{7}) }, true},
		{"nobody else was there", "s", []string{"a"}, func(*confirmations) {}, true},
		{"another entry", "s", []string{"a", "b"}, func(c *confirmations) { c.hear("b", []uint64{8}) }, false},
		{"one who was not on the list", "s", []string{"a", "b"}, func(c *confirmations) { c.hear("c", []uint64{7}) }, false},
		{"one of two", "s", []string{"a", "b", "c"}, func(c *confirmations) { c.hear("b", []uint64{7}) }, false},
		{"a server that has not answered a heartbeat", "t", []string{"a", "b"}, func(c *confirmations) { c.hear("b", []uint64{7}) }, false},
		{"a server without a name", "", []string{"a", "b"}, func(c *confirmations) { c.hear("b", []uint64{7}) }, false},
	} {
		steps := []func(*confirmations){
			func(cs *confirmations) { cs.list(7, fleet.List{Server: c.server, Names: c.listed}) }, c.ack,
			func(cs *confirmations) { cs.deliver([]fleet.Event{{Nonce: 7, Seq: 1}}, f) },
		}
		for _, order := range [][]int{{0, 1, 2}, {1, 0, 2}, {2, 0, 1}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}} {
			cs, w := &confirmations{byNonce: map[uint64]*waiter{}}, &waiter{wait: invalidation.WaitAll, result: make(chan outcome, 1)}
			cs.expect(7, w)
			for _, i := range order {
				steps[i](cs)
			}
			if got := len(w.result) == 1; got != c.want {
				t.Errorf("%s, in order %v: %v", c.about, order, got)
			}
			if oldest, _ := cs.since(); oldest.IsZero() != c.want {
				t.Errorf("%s, in order %v: somebody waits since %v", c.about, order, oldest)
			}
		}
	}
}

// Who waits for an entry that has not come back is told when the log becomes another one: it may be gone. Who waits only for others goes on.
func TestEntriesThatWentWithTheLog(t *testing.T) {
	t.Parallel()
	f := fleet.NewFollower(invalidation.NewLedger(), invalidation.NewLease(time.Now()), time.Second, "a", 0)
	cs := &confirmations{byNonce: map[uint64]*waiter{}}
	waiters := map[uint64]*waiter{}
	for nonce := range uint64(2) {
		waiters[nonce] = &waiter{wait: invalidation.WaitAll, result: make(chan outcome, 1)}
		cs.expect(nonce, waiters[nonce])
	}
	cs.deliver([]fleet.Event{{Nonce: 1, Seq: 1}}, f)
	cs.lose()
	if len(waiters[0].result) != 1 || !(<-waiters[0].result).lost {
		t.Error("who waits for what may be gone is not told")
	}
	if len(waiters[1].result) != 0 {
		t.Error("who waits for others to apply an entry is told that it is gone")
	}
}

// What is told of entries reads as it was written, and what is no such message is none.
func TestTold(t *testing.T) {
	t.Parallel()
	entries := []toldEntry{{nonce: 1, awaited: true, record: "r\x00 1", signature: "s"}, {nonce: 1<<64 - 1}}
	message := "41 beef " + string(appendTold(nil, "a b", entries))
	got, err := parseTold(message)
	if want := (told{seq: 41, previous: 0xbeef, writer: "a b", entries: entries}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	whole := 0
	for n := range len(message) {
		if _, err := parseTold(message[:n]); err == nil {
			whole++ // it ends after the name, or after an entry
		}
	}
	if whole != 2 {
		t.Errorf("%d parts of a message are taken for one", whole)
	}
	name, nonces, ok := parseAck(ackText("b", []uint64{3, 4}))
	if name != "b" || !slices.Equal(nonces, []uint64{3, 4}) || !ok {
		t.Error(name, nonces, ok)
	}
	if _, _, ok := parseAck(ackText("b", []uint64{3})[:5]); ok {
		t.Error("part of an acknowledgement is taken for one")
	}
}

// Where writes come one after the other, each waits for the others no longer than one that comes alone.
func TestHurryUnderLoad(t *testing.T) {
	t.Parallel()
	bubbles.Test(t, func(t *testing.T) {
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
