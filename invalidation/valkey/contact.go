package valkey

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation/fleet"
)

// contact is what is known of the server.
type contact struct {
	alive atomic.Bool // the last heartbeat was answered

	mu     sync.Mutex
	at     time.Time // of the last answer
	breaks int       // how often answers have failed to come
}

func (c *contact) heard(now time.Time, a fleet.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = now
	c.alive.Store(true)
}

func (c *contact) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breaks++
	c.alive.Store(false)
}

func (c *contact) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// server stands for the name of a server that does not tell it: after every break it may be another.
func (c *contact) server() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("unnamed-%d", c.breaks)
}

// broadcast wakes all who wait.
type broadcast struct{ state *broadcastState }

type broadcastState struct {
	mu sync.Mutex
	ch chan struct{}
}

func newBroadcast() broadcast { return broadcast{&broadcastState{ch: make(chan struct{})}} }

// wait is closed at the next send.
func (b broadcast) wait() <-chan struct{} {
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	return b.state.ch
}

func (b broadcast) send() {
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	close(b.state.ch)
	b.state.ch = make(chan struct{})
}
