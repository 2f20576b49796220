package valkey

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	durable "cacheproxy/durable/valkey"
	connection "cacheproxy/invalidation/valkey"
	"cacheproxy/test/servers"
	"cacheproxy/writebehind"
)

// withAOF is a server that keeps on its disk what it is told.
func withAOF(t *testing.T) *servers.ValkeyServer {
	t.Helper()
	return servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "everysec"}})
}

var secret = strings.Repeat("s", 32)

// open is a queue of one instance, which runs until the test ends or stop is called.
func open(t *testing.T, v *servers.ValkeyServer, instance string, lease time.Duration) (q *Queue, stop func()) {
	t.Helper()
	c := connection.NewConnection(connection.Server{Addresses: []string{v.Address()}}, 0)
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	q = New(Options{Connection: c, Prefix: "shop", Instance: instance, Lease: lease, Timeout: time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = q.Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return q, stop
}

func sealer(t *testing.T) *writebehind.Sealer {
	t.Helper()
	s, err := writebehind.NewSealer("shop", []string{secret})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var rules = &writebehind.Rules{Durability: writebehind.Fsync, MaxQueued: 5, MaxPerKey: 2}

func entry(t *testing.T, key, idempotency, body string, r *writebehind.Rules) *writebehind.Entry {
	t.Helper()
	w := &writebehind.Write{Route: "stock", Upstream: "api", Method: http.MethodPut, Path: "/" + key, Header: http.Header{}, MaxAge: time.Hour, Body: []byte(body)}
	content, err := w.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := sealer(t)
	e := &writebehind.Entry{ID: writebehind.NewID(), Key: writebehind.KeyOf("shop", key), Route: "stock", Repeats: true, Rules: r}
	e.Sealed, e.Identities = s.Seal(e.ID, e.Key, content), s.Identities(w, "", idempotency)
	return e
}

func TestAppend(t *testing.T) {
	ctx := t.Context()
	q, _ := open(t, withAOF(t), "a", time.Second)
	first, err := q.Append(ctx, entry(t, "5", "k1", "one", rules))
	if err != nil || first.Known || first.State != "queued" {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := q.Append(ctx, entry(t, "5", "k1", "one", rules)); err != nil || again.ID != first.ID || !again.Known {
		t.Errorf("once more: %+v, %v: want the write that is there", again, err)
	}
	if _, err := q.Append(ctx, entry(t, "5", "k1", "two", rules)); !errors.Is(err, writebehind.ErrOtherPayload) {
		t.Errorf("the key for another request: %v", err)
	}
	for i := 2; ; i++ {
		_, err := q.Append(ctx, entry(t, "5", fmt.Sprint("k", i), "x", rules))
		if i <= rules.MaxPerKey && err != nil || i > rules.MaxPerKey && !errors.Is(err, writebehind.ErrFull) {
			t.Fatalf("write %d of the key: %v", i, err)
		}
		if err != nil {
			break
		}
	}
	for i := 3; ; i++ {
		_, err := q.Append(ctx, entry(t, fmt.Sprint("other", i), fmt.Sprint("o", i), "x", rules))
		if i <= rules.MaxQueued && err != nil || i > rules.MaxQueued && !errors.Is(err, writebehind.ErrFull) {
			t.Fatalf("write %d of the route: %v", i, err)
		}
		if err != nil {
			break
		}
	}
	if r, err := q.Find(ctx, first.ID); err != nil || r.State != "queued" || r.Route != "stock" || r.Accepted.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := q.Find(ctx, writebehind.NewID()); !errors.Is(err, writebehind.ErrUnknown) {
		t.Errorf("a write that is not there: %v", err)
	}
	if s, err := q.Stats(ctx); err != nil || s.Depth["stock"] != rules.MaxQueued || s.Oldest <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A write is not accepted where the server does not prove that it would survive: it says that it may be there.
func TestAppendIsProved(t *testing.T) {
	for name, c := range map[string]struct {
		args       []string
		durability writebehind.Durability
		unfit      string
	}{
		"no disk":    {nil, writebehind.Fsync, "appendonly is off"},
		"no replica": {[]string{"--appendonly", "yes"}, writebehind.Replicas, "no replica is connected"},
		"no WAITAOF": {[]string{"--appendonly", "yes", "--rename-command", "WAITAOF", ""}, writebehind.Fsync, "does not know WAITAOF"}, // as of Redis before 7.2
	} {
		t.Run(name, func(t *testing.T) {
			q, _ := open(t, servers.Valkey(t, servers.ValkeyOptions{Args: c.args}), "a", time.Second)
			r := *rules
			r.Durability = c.durability
			if _, err := q.Append(t.Context(), entry(t, "5", "k1", "one", &r)); !errors.Is(err, writebehind.ErrNotSafe) {
				t.Errorf("appended with %v", err)
			}
			if err := q.CheckServer(t.Context(), c.durability); !durable.Unfit(err) || !strings.Contains(err.Error(), c.unfit) {
				t.Errorf("the server is found to be fit: %v", err)
			}
		})
	}
	q, _ := open(t, servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}}), "a", time.Second)
	if err := q.CheckServer(t.Context(), writebehind.Fsync); !durable.Unfit(err) {
		t.Errorf("a server that throws keys away is fit: %v", err)
	}
}

// An instance that stops answers what comes too late.
func TestAppendAtTheEnd(t *testing.T) {
	q, stop := open(t, withAOF(t), "a", time.Second)
	stop()
	for range 3 {
		if _, err := q.Append(t.Context(), entry(t, "5", "k1", "one", rules)); err == nil || errors.Is(err, writebehind.ErrNotSafe) {
			t.Errorf("appended with %v", err)
		}
	}
}

// Connections that have ended while nothing was appended are found out before the next write goes out on one.
func TestAppendOnAConnectionThatHasEnded(t *testing.T) {
	v := withAOF(t)
	q, _ := open(t, v, "a", time.Second)
	if _, err := q.Append(t.Context(), entry(t, "5", "k1", "one", rules)); err != nil {
		t.Fatal(err)
	}
	if out, err := v.CLI(t.Context(), "CLIENT", "KILL", "TYPE", "normal"); err != nil {
		t.Fatal(out, err)
	}
	<-time.After(1500 * time.Millisecond) // what was used just now is not asked
	if _, err := q.Append(t.Context(), entry(t, "6", "k2", "two", rules)); err != nil {
		t.Error(err)
	}
}

// With durability: replicas a replica has a write before it is accepted.
func TestReplicas(t *testing.T) {
	primary := servers.Valkey(t, servers.ValkeyOptions{})
	host, port, _ := strings.Cut(primary.Address(), ":")
	replica := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--replicaof", host, port}})
	q, _ := open(t, primary, "a", time.Second)
	r := *rules
	r.Durability = writebehind.Replicas
	for deadline := time.Now().Add(20 * time.Second); q.CheckServer(t.Context(), writebehind.Replicas) != nil; <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("there is no replica")
		}
	}
	e := entry(t, "5", "k1", "one", &r)
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) { // a replica of a busy machine may be late
		_, err := q.Append(t.Context(), e)
		if err == nil {
			break
		}
		if !errors.Is(err, writebehind.ErrNotSafe) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		e = entry(t, "5", writebehind.NewID(), "one", &r)
	}
	if state, err := replica.CLI(t.Context(), "HGET", "{shop}:wb:w:"+e.ID, "s"); err != nil || state != "queued" {
		t.Errorf("the replica has %q, %v", state, err)
	}
	replica.Kill()
	if _, err := q.Append(t.Context(), entry(t, "5", "k2", "two", &r)); !errors.Is(err, writebehind.ErrNotSafe) {
		t.Errorf("without the replica: %v", err)
	}
	// The same request once more: what is there already has to be proved all the same.
	if _, err := q.Append(t.Context(), entry(t, "5", "k2", "two", &r)); !errors.Is(err, writebehind.ErrNotSafe) {
		t.Errorf("once more: %v", err)
	}
}

// While the server is down nothing is accepted, and what was accepted before is there when it is back.
func TestServerDown(t *testing.T) {
	v := withAOF(t)
	q, _ := open(t, v, "a", time.Second)
	r, err := q.Append(t.Context(), entry(t, "5", "k1", "one", rules))
	if err != nil {
		t.Fatal(err)
	}
	v.Kill()
	if _, err := q.Append(t.Context(), entry(t, "6", "k2", "two", rules)); err == nil {
		t.Error("a write is accepted that is nowhere")
	}
	if _, err := q.Last(t.Context(), "x"); err == nil {
		t.Error("the queue answers without its server")
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for {
		got, err := q.Find(t.Context(), r.ID)
		if err == nil && got.State == "queued" {
			break
		}
		if errors.Is(err, writebehind.ErrUnknown) {
			t.Fatal("a write that was accepted is gone")
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A partition has one owner, whose word counts only while it is that.
func TestOwnership(t *testing.T) {
	ctx := t.Context()
	v := withAOF(t)
	a, _ := open(t, v, "a", 300*time.Millisecond)
	b, _ := open(t, v, "b", 300*time.Millisecond)
	r, err := a.Append(ctx, entry(t, "5", "k1", "one", rules))
	if err != nil {
		t.Fatal(err)
	}
	owned, _, err := a.Tend(ctx)
	if err != nil || len(owned) != writebehind.Partitions {
		t.Fatalf("alone it owns %v, %v", owned, err)
	}
	partition := writebehind.PartitionOf(writebehind.KeyOf("shop", "5"))
	var mine writebehind.Ownership
	for _, o := range owned {
		if o.Partition == partition {
			mine = o
		}
	}
	if others, _, err := b.Tend(ctx); err != nil || len(others) != 0 {
		t.Fatalf("beside it another owns %v, %v", others, err)
	}
	owned, _, err = a.Tend(ctx)
	surplus := 0
	for _, o := range owned {
		if o.Surplus {
			surplus++
		}
	}
	if err != nil || surplus != writebehind.Partitions/2 {
		t.Fatalf("of %v %d are to go to the other, %v", owned, surplus, err)
	}
	if _, before, err := a.Begin(ctx, mine, r.ID); err != nil || before != "queued" {
		t.Fatalf("begin: %v, %v", before, err)
	}
	var theirs []writebehind.Ownership
	for deadline := time.Now().Add(10 * time.Second); len(theirs) != writebehind.Partitions && time.Now().Before(deadline); { // a says nothing any more
		if theirs, _, err = b.Tend(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range theirs {
		if o.Partition != partition {
			continue
		}
		if o.Token <= mine.Token {
			t.Errorf("the next owner's token is %d, that of the one before %d", o.Token, mine.Token)
		}
		if _, before, err := b.Begin(ctx, o, r.ID); err != nil || before != "sending" {
			t.Errorf("the next owner begins a write that is %q, %v: want sending", before, err)
		}
	}
	if _, _, err := a.Begin(ctx, mine, r.ID); !errors.Is(err, writebehind.ErrNotOwner) {
		t.Errorf("the owner before begins: %v", err)
	}
	if err := a.Settle(ctx, mine, r.ID, writebehind.Outcome{State: writebehind.Done, Status: 200}); !errors.Is(err, writebehind.ErrNotOwner) {
		t.Errorf("the owner before settles: %v", err)
	}
}

// Routes are known as long as somebody has them, or writes wait, whoever has accepted these.
func TestRegister(t *testing.T) {
	ctx := t.Context()
	v := withAOF(t)
	q, _ := open(t, v, "a", time.Second)
	if all, err := q.Register(ctx, []string{`{"name":"stock"}`}, time.Nanosecond); err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	if _, err := q.Append(ctx, entry(t, "5", "k1", "one", rules)); err != nil {
		t.Fatal(err)
	}
	awaitClock(t, v)
	if all, err := q.Register(ctx, nil, time.Nanosecond); err != nil || len(all) != 1 {
		t.Errorf("while a write waits: %v, %v", all, err)
	}
	if _, err := v.CLI(ctx, "DEL", "{shop}:wb:r"); err != nil {
		t.Fatal(err)
	}
	awaitClock(t, v)
	if all, err := q.Register(ctx, nil, time.Nanosecond); err != nil || len(all) != 0 {
		t.Errorf("when none waits any more: %v, %v", all, err)
	}
}

// awaitClock waits until the server's clock has gone on by a few milliseconds.
func awaitClock(t *testing.T, v *servers.ValkeyServer) {
	t.Helper()
	<-time.After(5 * time.Millisecond)
	if _, err := v.CLI(t.Context(), "PING"); err != nil {
		t.Fatal(err)
	}
}
