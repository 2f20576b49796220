package valkey

import (
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/test/servers"
)

// A server that was emptied goes on as if it had just started: an instance that has not noticed uses copies until its lease
// lapses, and a purge waits for that although nobody is registered.
func TestServerEmptied(t *testing.T) {
	t.Parallel()
	waitsForWhoIsAway(t, "FLUSHALL")
}

// Nor does anybody's being taken off the list by hand end the wait for him.
func TestTakenOffTheList(t *testing.T) {
	t.Parallel()
	waitsForWhoIsAway(t, "HDEL", keysOf("test", 0).live, "b")
}

// silent has an instance ask nothing until end is called. It has its lease from just before.
func (m *member) silent(t *testing.T) (end func()) {
	t.Helper()
	m.await(t, "lease", func() bool {
		m.syncer.mu.Lock()
		if time.Since(m.follower.View().Complete) < lease/4 {
			return true
		}
		m.syncer.mu.Unlock()
		return false
	})
	return m.syncer.mu.Unlock
}

// waitsForWhoIsAway has a command carried out while an instance that is not heard of holds a lease, which a purge then waits for.
func waitsForWhoIsAway(t *testing.T, command ...string) {
	t.Helper()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a, b := join(t, serverAt(server.Address()), "a"), join(t, serverAt(server.Address()), "b")
	purge(t, a, key("before"))
	defer b.silent(t)()
	if out, err := server.CLI(t.Context(), command...); err != nil || out == "0\n" {
		t.Fatal(out, err)
	}
	purge(t, a, key("k"))
	if b.Lease().Valid(time.Now()) {
		t.Error("a purge is confirmed while an instance that has not heard of it has its lease")
	}
}

// Who starts on a server that was emptied waits for the longest lease that another has heard of, whose own is short.
func TestNewcomerWaitsForTheLongestLease(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	b := join(t, serverAt(server.Address()), "b", func(o *Options) { o.Lease = 5 * lease })
	purge(t, a, key("before"))
	a.await(t, "word of the longer lease", func() bool { return a.LeaseTimeout() == invalidation.Timeout(5*lease) })
	defer b.silent(t)()
	if _, err := server.CLI(t.Context(), "FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	purge(t, join(t, serverAt(server.Address()), "late"), key("k"))
	if b.Lease().Valid(time.Now()) {
		t.Error("a purge is confirmed while an instance that has not heard of it has its lease")
	}
}

// What instances forget themselves, and who comes and goes, is counted: no log begins, and the list keeps its edition.
func TestTidyingIsCounted(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	for _, name := range []string{"one", "two", "three"} {
		purge(t, a, key("%s", name))
	}
	ask := func(command ...string) string {
		out, err := server.CLI(t.Context(), command...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	keys := keysOf("test", 0)
	before := ask("HMGET", keys.meta, "h", "e")
	ask("ZADD", keys.clock, "1", "2") // long ago the log stood at its second entry
	a.syncer.mu.Lock()
	a.syncer.tidied = time.Time{}
	a.syncer.mu.Unlock()
	a.await(t, "marks forgotten", func() bool { return strings.TrimSpace(ask("ZCARD", keys.hard)) == "1" })
	b := join(t, serverAt(server.Address()), "b")
	purge(t, b, key("four"))
	b.end() // and is reaped
	purge(t, a, key("five"))
	c := join(t, serverAt(server.Address()), "c")
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	purge(t, a, key("six"))
	if after := ask("HMGET", keys.meta, "h", "e"); after != before {
		t.Errorf("history and edition of the list were %q and are %q", before, after)
	}
}

// What an instance says to have held with another edition of the list is not passed on: who starts would take its word for that nobody is left who
// was taken off.
func TestNothingIsHeldWithAnotherEdition(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	a := join(t, serverAt(server.Address()), "a")
	a.syncer.mu.Lock() // no other heartbeat
	defer a.syncer.mu.Unlock()
	client, err := a.options.Connection.Client()
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{true, false} {
		q := a.follower.Request(time.Now())
		q.Held = time.Minute
		if !known {
			q.Edition = "another"
		}
		r, err := a.syncer.send(t.Context(), client, q, false)
		if err != nil || len(r.Live) != 1 || r.Live[0].Held > 0 != known || r.Edition == "another" {
			t.Errorf("edition known %t: %+v %v", known, r.SyncReply, err)
		}
	}
}

func TestServerLife(t *testing.T) {
	t.Parallel()
	for info, want := range map[string]string{
		"# Server\r\nrun_id:abc\r\nuptime_in_seconds:7\r\n": "abc",
		"run_id:abc\n":          "abc",
		"uptime_in_seconds:0\n": "",
		"":                      "",
	} {
		if id := serverLife(info); id != want {
			t.Errorf("%q: %q, want %q", info, id, want)
		}
	}
}
