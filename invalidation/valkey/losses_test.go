package valkey

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

// Where the server cannot be reached, nothing is confirmed before every lease has lapsed; here it holds at once, and is written
// when the server is back.
func TestServerDown(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	a, b := join(t, serverAt(server.Address()), "a"), join(t, serverAt(server.Address()), "b")
	purge(t, a, key("before"))
	server.Kill()
	a.await(t, "break", func() bool { return !a.Alive() })
	t.Run("a write that is still to come", func(t *testing.T) {
		if _, err := a.Begin(t.Context(), []policy.Member{key("k")}); !errors.Is(err, invalidation.ErrNotRecorded) {
			t.Errorf("Begin: %v", err)
		}
	})
	t.Run("a purge of all", func(t *testing.T) {
		token, started := a.ledger.Token(), time.Now()
		r, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("all")}})
		if !errors.Is(err, invalidation.ErrNotRecorded) || r.Held || r.Recorded {
			t.Errorf("receipt %+v, error %v", r, err)
		}
		if took := time.Since(started); took < lease {
			t.Errorf("it answered after %v, while another instance may still have a lease", took)
		}
		if a.admits(token, key("all")) {
			t.Error("it does not hold on the instance that was asked")
		}
	})
	t.Run("a purge of this instance", func(t *testing.T) {
		token := a.ledger.Token()
		r, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("here")}, Wait: invalidation.WaitLocal})
		if err != nil || r.Held || r.Recorded || a.admits(token, key("here")) {
			t.Errorf("receipt %+v, error %v", r, err)
		}
	})
	a.await(t, "lapse", func() bool { return !a.Lease().Valid(time.Now()) })
	token := b.ledger.Token()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.await(t, "lease", func() bool { return a.Lease().Valid(time.Now()) })
	b.await(t, "queued purge", func() bool { return !b.admits(token, key("here")) })
	if !b.admits(token, key("before")) {
		t.Error("the other instance has lost more than what was purged")
	}
	purge(t, b, key("after"))
}

// A write that is to be announced waits for no server that has fallen silent: it is refused, or goes on, before a lease has lapsed. Nor
// where its fence is in the log already, and waits for an instance that is gone.
func TestServerFreezesBeforeAFenceHolds(t *testing.T) {
	t.Parallel()
	for name, recorded := range map[string]bool{"it is not in the log": false, "another instance has not acknowledged it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := servers.Valkey(t, servers.ValkeyOptions{})
			s, long := serverAt(server.Address()), func(o *Options) { o.Lease = 3 * time.Second }
			a := join(t, s, "a", long)
			if recorded {
				b := start(t, s, "b", long)
				a.await(t, "other instance", func() bool { return a.Instances() == 2 })
				b.end()
			}
			freeze := func() {
				if err := server.Process().Signal(syscall.SIGSTOP); err != nil {
					t.Error(err)
				}
			}
			defer func() { _ = server.Process().Signal(syscall.SIGCONT) }()
			at := a.follower.Applied()
			if !recorded {
				freeze()
			}
			began, done := time.Now(), make(chan error, 1)
			go func() {
				_, err := a.Begin(t.Context(), []policy.Member{key("k")})
				done <- err
			}()
			if recorded {
				a.await(t, "fence", func() bool { return a.follower.Applied() > at })
				freeze()
			}
			if err := <-done; err == nil {
				t.Error("a fence has begun that does not hold everywhere")
			}
			if took := time.Since(began); took >= 3*time.Second {
				t.Errorf("the write was kept waiting for %v", took)
			}
		})
	}
}

// A server that comes back without its data begins another log. What the instances have applied is written again for those
// that had not, and copies in memory stay.
func TestServerLosesEverything(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a, b := join(t, serverAt(server.Address()), "a"), join(t, serverAt(server.Address()), "b")
	purge(t, a, key("before"))
	old, _ := a.ToLog(a.ledger.Token())
	token := b.ledger.Token()
	server.Kill()
	a.await(t, "lapse", func() bool { return !a.Lease().Valid(time.Now()) && !b.Lease().Valid(time.Now()) })
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*member{a, b} {
		m.await(t, "lease", func() bool { return m.Lease().Valid(time.Now()) })
		if !m.admits(token, key("kept")) {
			t.Errorf("%s has forgotten its copies", m.name)
		}
		if _, ok := m.FromLog(old); ok {
			t.Errorf("%s takes positions of the log that is gone", m.name)
		}
	}
	late := join(t, serverAt(server.Address()), "late")
	at, _ := late.ToLog(late.ledger.Token())
	zero, ok := late.FromLog(fleet.LogPosition{History: at.History})
	if !ok || late.admits(zero, key("before")) {
		t.Error("what was purged before the loss is not in the new log")
	}
	purge(t, late, key("after"))
}

// Where an instance that was there before does not come back with the others, the rest cannot know what it had heard.
func TestServerAndInstanceLost(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a, b := join(t, serverAt(server.Address()), "a"), join(t, serverAt(server.Address()), "b")
	purge(t, a, key("before")) // so that each has seen the other
	a.await(t, "peer", func() bool { return len(a.State().Instances) == 2 })
	token := a.ledger.Token()
	server.Kill()
	b.end()
	a.await(t, "lapse", func() bool { return !a.Lease().Valid(time.Now()) })
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.await(t, "lease", func() bool { return a.Lease().Valid(time.Now()) })
	if a.admits(token, key("anything")) {
		t.Error("copies are trusted although nobody knows what was purged")
	}
}

// A log that comes back from before, with the copies that lay beside it, is not trusted for what was purged since, however long ago:
// the origin has to confirm what it holds.
func TestServerIsRestored(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a, b := join(t, serverAt(server.Address()), "a"), join(t, serverAt(server.Address()), "b")
	purge(t, a, key("before"))
	saved, _ := a.ToLog(a.ledger.Token())
	cli := func(args ...string) string {
		t.Helper()
		out, err := server.CLI(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var names []string
	for _, name := range []string{"meta", "log", "hard", "soft", "fences", "notices", "live", "leases", "clock", "terms"} {
		if cli("COPY", "{test}:"+name, "{test}:saved-"+name) == "1" {
			names = append(names, name)
		}
	}
	cli("DEL", "{test}:meta")
	a.await(t, "another history", func() bool {
		at, ok := a.ToLog(a.ledger.Token())
		return ok && at.History != saved.History && a.Lease().Valid(time.Now())
	})
	purge(t, a, key("since"))
	back := "for _, name in ipairs(ARGV) do redis.call('RENAME', '{test}:saved-' .. name, '{test}:' .. name) end return 1"
	cli(append([]string{"EVAL", back, "0"}, names...)...)
	for _, m := range []*member{a, b} {
		m.await(t, "the saved history", func() bool {
			at, ok := m.ToLog(m.ledger.Token())
			return ok && at.History == saved.History && m.Lease().Valid(time.Now()) && m.State().Pending == 0
		})
		token, ok := m.FromLog(saved)
		if !ok {
			t.Fatalf("%s does not vouch for a position of the log that it follows", m.name)
		}
		var stamp invalidation.Stamp
		stamp.Set(token)
		for k, want := range map[string]invalidation.Verdict{"since": invalidation.Purged, "any": invalidation.Unconfirmed} {
			if got := m.ledger.Check(&stamp, invalidation.IDsOf([]policy.Member{key("%s", k), policy.All})); got != want {
				t.Errorf("%s: a copy of %q from before is %v, want %v", m.name, k, got, want)
			}
		}
	}
}

// A server that has lost the end of its log, as after a failover, gets it back.
func TestServerLosesTheEnd(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a, b := join(t, serverAt(server.Address()), "a"), join(t, serverAt(server.Address()), "b")
	for _, k := range []string{"1", "2", "3"} {
		purge(t, a, key("%s", k))
	}
	kept, _ := a.ToLog(a.ledger.Token())
	third := purge(t, b, key("lost"))
	beyond, _ := b.ToLog(b.ledger.Token())
	tokens := []invalidation.Token{a.ledger.Token(), b.ledger.Token()}
	// In one step, so that no heartbeat sees half of it.
	script := "redis.call('XDEL', KEYS[2], ARGV[1] .. '-0') redis.call('HSET', KEYS[1], 's', ARGV[2]) " +
		"local all = redis.call('XRANGE', KEYS[2], '-', '+') redis.call('DEL', KEYS[2]) " +
		"for _, e in ipairs(all) do redis.call('XADD', KEYS[2], e[1], unpack(e[2])) end"
	run(t, server, "EVAL", script, "2", "{test}:meta", "{test}:log", itoa(third.Seq), itoa(third.Seq-1))
	a.await(t, "repair", func() bool { return a.State().Position >= third.Seq && a.State().Pending == 0 })
	late := join(t, serverAt(server.Address()), "late")
	token, ok := late.FromLog(kept)
	if !ok || !late.admits(token, key("3")) {
		t.Fatal("what was not lost is not judged as before")
	}
	late.await(t, "end of the log, written again", func() bool { return !late.admits(token, key("lost")) })
	for i, m := range []*member{a, b} {
		m.await(t, "new end", func() bool { return m.State().Position >= third.Seq })
		if !m.admits(tokens[i], key("kept")) {
			t.Errorf("%s has forgotten its copies", m.name)
		}
		if _, ok := m.FromLog(beyond); ok {
			t.Errorf("%s takes a position of the end that was lost", m.name)
		}
	}
	purge(t, a, key("after"))
}

// An invalidation with a delay comes twice, also when the instance that ordered it has died.
// What somebody has deleted or overwritten among what the server keeps of the log is found, and made good or begun anew.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	for _, field := range []string{"h", "s", "f", "r", "k", "l", "p", "b"} {
		for _, command := range [][]string{{"HDEL", field}, {"HSET", field, "-"}} {
			t.Run(command[0]+" "+field, func(t *testing.T) {
				t.Parallel()
				prefix := func(o *Options) { o.Prefix = command[0] + field }
				a, b := join(t, serverAt(server.Address()), "a", prefix), join(t, serverAt(server.Address()), "b", prefix)
				purge(t, a, key("k"))
				token := b.ledger.Token()
				if _, err := server.CLI(t.Context(), append([]string{command[0], "{" + command[0] + field + "}:meta"}, command[1:]...)...); err != nil {
					t.Fatal(err)
				}
				a.await(t, "purge", func() bool {
					_, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("k")}})
					return err == nil
				})
				if !b.ledger.Since(token, []invalidation.ID{invalidation.IDOf(key("k"))}) {
					t.Error("a purge is confirmed that the other has not applied")
				}
				for _, m := range []*member{a, b, join(t, serverAt(server.Address()), "c", prefix)} {
					m.await(t, "lease", func() bool { return m.Lease().Valid(time.Now()) })
				}
			})
		}
	}
}

// Orders that wait for nobody are applied here, and written when the server is back: those of the end of a fence, too.
func TestQueuedWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	a, b := join(t, serverAt(server.Address()), "a"), join(t, serverAt(server.Address()), "b")
	members := []policy.Member{key("k")}
	ids := invalidation.IDsOf(members)
	fences := map[bool]*invalidation.Fence{}
	for _, undone := range []bool{false, true} {
		f, err := a.Begin(t.Context(), []policy.Member{key("fenced %v", undone)})
		if err != nil {
			t.Fatal(err)
		}
		fences[undone] = f
	}
	token := b.ledger.Token()
	server.Kill()
	a.await(t, "break", func() bool { return !a.Alive() })
	for undone, f := range fences {
		if _, err := a.End(t.Context(), f, invalidation.Order{Undone: undone, Wait: invalidation.WaitLocal}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Invalidate(t.Context(), invalidation.Order{Members: members, Wait: invalidation.WaitLocal}); err != nil {
		t.Fatal(err)
	}
	if !a.ledger.Since(token, ids) {
		t.Error("not applied here")
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.await(t, "what was queued", func() bool { return b.ledger.Since(token, ids) })
	for undone, f := range fences {
		b.await(t, "end of the fence", func() bool { return b.ledger.Admits(b.ledger.Token(), f.IDs()) })
		if changed := b.ledger.Since(token, f.IDs()); changed == undone {
			t.Errorf("a fence that ended with undone %v has changed its members: %v", undone, changed)
		}
	}
	a.await(t, "an empty queue", func() bool { return a.State().Pending == 0 })
}
