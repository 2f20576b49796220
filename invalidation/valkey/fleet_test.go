package valkey

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

const lease = 600 * time.Millisecond

// member is one instance of a fleet under test.
type member struct {
	*Log
	name   string
	ledger *invalidation.Ledger
	stop   context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	notices []invalidation.Notice // guarded by mu
}

func serverAt(addresses ...string) Server { return Server{Addresses: addresses} }

// join starts an instance and waits until it may use copies.
func join(t testing.TB, s Server, name string, change ...func(*Options)) *member {
	t.Helper()
	m := start(t, s, name, change...)
	m.await(t, "lease", func() bool { return m.Lease().Valid(time.Now()) })
	return m
}

// start starts an instance.
func start(t testing.TB, s Server, name string, change ...func(*Options)) *member {
	t.Helper()
	c := NewConnection(s, 0)
	m := &member{name: name, ledger: invalidation.NewLedger(), ended: make(chan struct{})}
	o := Options{
		Connection: c, Prefix: "test", Instance: name, Ledger: m.ledger, Lease: lease, Log: slog.New(slog.DiscardHandler),
		OnNotice: func(n invalidation.Notice) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.notices = append(m.notices, n)
		},
	}
	for _, f := range change {
		f(&o)
	}
	m.Log = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	running.Go(func() { _ = m.Run(ctx) })
	go func() { running.Wait(); close(m.ended) }()
	t.Cleanup(m.end)
	return m
}

// end stops an instance without a word to the others.
func (m *member) end() {
	m.stop()
	<-m.ended
}

// await polls until something is so. It is for what no event tells of.
func (m *member) await(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: no %s; state %+v", m.name, what, m.State())
		}
	}
}

func (m *member) told() []invalidation.Notice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]invalidation.Notice(nil), m.notices...)
}

func key(format string, a ...any) policy.Member {
	return policy.NewMember(policy.KindKey, fmt.Sprintf(format, a...))
}

// admits reports whether an answer that was asked for now could become a copy of the members.
func (m *member) admits(t invalidation.Token, members ...policy.Member) bool {
	return m.ledger.Admits(t, invalidation.IDsOf(append(members, policy.All)))
}

func purge(t *testing.T, m *member, members ...policy.Member) invalidation.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := m.Invalidate(ctx, invalidation.Order{Members: members})
	if err != nil {
		t.Fatalf("purge on %s: %v", m.name, err)
	}
	return r
}

// eachServer runs a test on every kind of server that is installed.
func eachServer(t *testing.T, test func(t *testing.T, s Server)) {
	for _, program := range servers.ValkeyPrograms() {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			test(t, serverAt(servers.Valkey(t, servers.ValkeyOptions{Program: program}).Address()))
		})
	}
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		var s Server
		for _, node := range servers.ValkeyCluster(t, servers.ValkeyPrograms()[0]) {
			s.Addresses = append(s.Addresses, node.Address())
		}
		test(t, s)
	})
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
