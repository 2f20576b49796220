package valkey

import (
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// contact is whether and when the server has replied. The syncer writes both, every goroutine reads them.
type contact struct {
	alive atomic.Bool // the last heartbeat was answered

	mu  lockorder.Mutex[lockorder.Contact]
	at  time.Time // of the last reply; zero: there was none
	err error     // of the last heartbeat; nil: it was answered
}

func (c *contact) replied(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.err = now, nil
	c.alive.Store(true)
}

func (c *contact) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	c.alive.Store(false)
}

func (c *contact) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// problem is why the last heartbeat was not answered; nil: it was.
func (c *contact) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
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
