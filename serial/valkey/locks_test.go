package valkey

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	connection "cacheproxy/invalidation/valkey"
	"cacheproxy/test/servers"
)

// lines receives what the log says.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// locksOn are those of an instance more.
func locksOn(t *testing.T, s *servers.ValkeyServer) (l *Locks, said lines) {
	t.Helper()
	c := connection.NewConnection(connection.Server{Addresses: []string{s.Address()}}, 0)
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	said = make(lines, 8)
	client, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return New(Options{Connection: c, Prefix: "shop", Alive: func() bool { return true }, Log: slog.New(slog.NewTextHandler(said, nil))}), said
}

func command(t *testing.T, s *servers.ValkeyServer, args ...string) string {
	t.Helper()
	out, err := s.CLI(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// await asks until ok, for longer than anything here takes.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); <-time.After(10 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func must(t *testing.T, l *Locks, key string) (unlock func()) {
	t.Helper()
	unlock, err := l.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// A lock is one instance's until it is given back, is renewed meanwhile, and leaves nothing behind; locks of other keys are free.
func TestLockIsOneInstances(t *testing.T) {
	s := servers.Valkey(t, servers.ValkeyOptions{})
	a, _ := locksOn(t, s)
	b, _ := locksOn(t, s)
	unlock := must(t, a, "x")
	must(t, b, "y")()
	bounded, cancel := context.WithTimeout(t.Context(), lease+time.Second) // for longer than it is held without renewals
	defer cancel()
	if _, err := b.Lock(bounded, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second got %v", err)
	}
	got := make(chan func())
	go func() {
		unlock, _ := b.Lock(t.Context(), "x")
		got <- unlock
	}()
	unlock()
	(<-got)()
	if keys := command(t, s, "KEYS", "*"); keys != "" {
		t.Errorf("left behind: %s", keys)
	}
}

// A lock that the server has lost is taken again; one that another has got meanwhile is that one's, whatever the first does.
func TestLostLock(t *testing.T) {
	s := servers.Valkey(t, servers.ValkeyOptions{})
	a, said := locksOn(t, s)
	unlock := must(t, a, "x")
	key := command(t, s, "KEYS", "*")
	if !strings.HasPrefix(key, "shop:s:{") {
		t.Errorf("the lock is at %s", key)
	}
	command(t, s, "DEL", key)
	await(t, "the lock to be taken again", func() bool { return command(t, s, "GET", key) != "" })
	command(t, s, "SET", key, "another")
	if line := <-said; !strings.Contains(line, "another instance makes the next one of its key") {
		t.Errorf("the log says %q", line)
	}
	unlock()
	if holder := command(t, s, "GET", key); holder != "another" {
		t.Errorf("the lock of another is %q now", holder)
	}
}

// Where the server does not answer, nobody gets a lock.
func TestNoLockWithoutServer(t *testing.T) {
	s := servers.Valkey(t, servers.ValkeyOptions{})
	l, _ := locksOn(t, s)
	l.options.Alive = func() bool { return false }
	if _, err := l.Lock(t.Context(), "x"); err == nil {
		t.Error("a lock of a server that is not there")
	}
	l.options.Alive = func() bool { return true }
	s.Kill()
	start := time.Now()
	if _, err := l.Lock(t.Context(), "x"); err == nil || time.Since(start) > 2*timeout {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if _, err := New(Options{Connection: connection.NewConnection(connection.Server{}, 0)}).Lock(t.Context(), "x"); !errors.Is(err, connection.ErrNotConnected) {
		t.Errorf("before there is a connection: %v", err)
	}
}
