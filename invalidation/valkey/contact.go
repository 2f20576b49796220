package valkey

import (
	"fmt"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// contact is whether and when the server has replied. The syncer writes both, every goroutine reads them.
type contact struct {
	alive atomic.Bool // the last heartbeat was answered

	mu       lockorder.Mutex[lockorder.Contact]
	at       time.Time // of the last reply; zero: there was none
	failures int       // heartbeats that were not answered
}

func (c *contact) replied(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = now
	c.alive.Store(true)
}

func (c *contact) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	c.alive.Store(false)
}

func (c *contact) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// assumedServer stands for the name of a server that does not tell its own: after every failure the server may be another.
func (c *contact) assumedServer() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("unnamed-%d", c.failures)
}

// broadcast wakes all who wait. It is safe for concurrent use.
type broadcast struct{ state *broadcastState }

type broadcastState struct {
	mu lockorder.Mutex[lockorder.Broadcast]
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
