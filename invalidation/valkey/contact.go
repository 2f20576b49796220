package valkey

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// contact records whether and when the server has replied. The syncer writes, every goroutine reads.
type contact struct {
	alive atomic.Bool // the last heartbeat was answered

	mu  lockorder.Mutex[lockorder.Contact]
	at  time.Time // of the last reply; zero: no reply yet
	err error     // of the last heartbeat; nil: the heartbeat was answered
	// reach ends when a heartbeat is not answered: failed calls lose. The next reply begins another reach. Nil: no
	// reply yet.
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

// whileReached returns a context that ends when a heartbeat is not answered. The context has ended already if the
// last heartbeat was not answered. cancel frees the context.
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

// problem returns why the last heartbeat was not answered; nil: the heartbeat was answered.
func (c *contact) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// broadcast wakes all goroutines that wait. A broadcast is safe for concurrent use.
type broadcast struct{ state *broadcastState }

type broadcastState struct {
	mu lockorder.Mutex[lockorder.Broadcast]
	ch chan struct{}
}

func newBroadcast() broadcast { return broadcast{&broadcastState{ch: make(chan struct{})}} }

// wait returns a channel that the next send closes.
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
