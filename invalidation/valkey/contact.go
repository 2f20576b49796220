package valkey

import (
	"context"
	"errors"
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
	// reach ends, by lose, when a heartbeat is not answered; the next reply begins another. Nil: there was no reply yet.
	reach context.Context
	lose  context.CancelFunc
}

func (c *contact) replied(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.err = now, nil
	if c.reach == nil || c.reach.Err() != nil {
		c.reach, c.lose = context.WithCancel(context.Background())
	}
	c.alive.Store(true)
}

func (c *contact) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	c.alive.Store(false)
	if c.lose != nil {
		c.lose()
	}
}

// whileReached is a context that ends when a heartbeat is not answered, also where the last one was not, and cancel frees it.
func (c *contact) whileReached(ctx context.Context) (reached context.Context, cancel func()) {
	c.mu.Lock()
	reach := c.reach
	c.mu.Unlock()
	reached, end := context.WithCancelCause(ctx)
	if reach == nil {
		end(errUnreached)
		return reached, func() {}
	}
	stop := context.AfterFunc(reach, func() { end(errUnreached) })
	return reached, func() { stop(); end(nil) }
}

var errUnreached = errors.New("heartbeat not answered")

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
