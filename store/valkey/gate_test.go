package valkey

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation/valkey"
)

// gate is a way to a server that can be shut: then connections are made, and nothing passes.
type gate struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed *sync.Cond
	shut    bool              // guarded by mu
	answers bool              // requests pass, and only answers do not; guarded by mu
	open    map[net.Conn]bool // guarded by mu
}

func newGate(t *testing.T, target string) (*gate, valkey.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, target: target, open: make(map[net.Conn]bool)}
	g.changed = sync.NewCond(&g.mu)
	go g.accept()
	t.Cleanup(func() { l.Close(); g.set(false, false) })
	return g, valkey.Server{Addresses: []string{l.Addr().String()}}
}

func (g *gate) set(shut, answers bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.answers = shut, answers
	g.changed.Broadcast()
}

// cut breaks all connections.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.Close()
	}
	clear(g.open)
}

func (g *gate) accept() {
	for {
		near, err := g.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", g.target)
		if err != nil {
			near.Close()
			continue
		}
		g.mu.Lock()
		g.open[near], g.open[far] = true, true
		g.mu.Unlock()
		go g.pass(far, near, false)
		go g.pass(near, far, true)
	}
}

func (g *gate) pass(to io.WriteCloser, from io.ReadCloser, answer bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.mu.Lock()
		for g.shut && (answer || !g.answers) {
			g.changed.Wait()
		}
		g.mu.Unlock()
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// tally counts what operations there were, and how they ended.
type tally struct {
	mu   sync.Mutex
	ends map[string]int // by operation and kind of error
}

func (c *tally) note(op string, _ time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends == nil {
		c.ends = make(map[string]int)
	}
	c.ends[strings.TrimSpace(op+" "+kind(err))]++
}

func (c *tally) of(end string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ends[end]
}
