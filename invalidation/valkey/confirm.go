package valkey

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/lockorder"
)

// confirmations are the entries that goroutines wait for. The writer of an entry registers a waiter before the entry
// is written. The syncer or the hinter brings the entry back from the log. The waiter then waits until the other
// instances have applied the entry: heartbeats of the syncer and messages to the hinter tell that they have.
//
// Holders of mu take the follower's lock, and wait for nothing else: each waiter's channel has room for its one
// outcome.
type confirmations struct {
	mu      lockorder.Mutex[lockorder.Confirmations]
	byNonce map[uint64]*waiter // of entries on their way; guarded by mu
	open    []*waiter          // of entries that others have to apply; guarded by mu
	oldest  time.Time          // since when open has waiters; zero: no waiters; guarded by mu
	newest  time.Time          // when the last waiter was added to open; guarded by mu
}

// waiter waits for one entry. confirmations.mu guards all fields but result; only deliver sets watch and event.
type waiter struct {
	wait    invalidation.Wait
	witness fleet.Witness
	watch   *fleet.Confirmation
	event   fleet.Event
	result  chan outcome // has room for one
}

// outcome is the result of waiting for an entry.
type outcome struct {
	event         fleet.Event
	lost          bool
	acked, reaped []string
}

// expect registers a waiter for an entry, which must not be written yet. Otherwise the syncer could apply the entry
// first, and would find no waiter to tell.
func (c *confirmations) expect(nonce uint64, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byNonce[nonce] = w
}

// drop forgets a waiter.
func (c *confirmations) drop(nonce uint64, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byNonce, nonce)
	c.open = slices.DeleteFunc(c.open, func(o *waiter) bool { return o == w })
	c.settle()
}

// settle sets oldest. The caller holds mu.
func (c *confirmations) settle() {
	switch {
	case len(c.open) == 0:
		c.oldest = time.Time{}
	case c.oldest.IsZero():
		c.oldest = time.Now()
	}
}

// since returns since when a goroutine has been waiting for other instances, and when the last waiter was added.
// Zero: nobody waits.
func (c *confirmations) since() (oldest, newest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.oldest, c.newest
}

// deliver sends the outcome to the waiters of entries that the log has brought, or has lost. more reports whether an
// entry still waits for other instances.
func (c *confirmations) deliver(events []fleet.Event, follower *fleet.Follower) (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range events {
		w := c.byNonce[e.Nonce]
		switch {
		case w == nil:
		case e.Lost:
			delete(c.byNonce, e.Nonce)
			c.open = slices.DeleteFunc(c.open, func(o *waiter) bool { return o == w })
			w.result <- outcome{lost: true}
		case w.wait != invalidation.WaitAll:
			delete(c.byNonce, e.Nonce)
			w.result <- outcome{event: e}
		default:
			w.event, w.watch = e, follower.Confirm(e.Seq, &w.witness, time.Now())
			if !c.witnessed(w) {
				c.open, more = append(c.open, w), true
			}
		}
	}
	if c.settle(); more {
		c.newest = time.Now()
	}
	return more
}

// list records the instances on a server's list at the append of an entry that a waiter waits for.
func (c *confirmations) list(nonce uint64, list fleet.List) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.byNonce[nonce]; w != nil {
		w.witness.Read(list)
		c.finish(w)
	}
}

// hear records that an instance has applied entries.
func (c *confirmations) hear(instance string, nonces []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nonce := range nonces {
		if w := c.byNonce[nonce]; w != nil {
			w.witness.Hear(instance)
			c.finish(w)
		}
	}
}

// finish ends the wait for an entry if the witness of the entry shows that the entry holds everywhere. The caller
// holds mu.
func (c *confirmations) finish(w *waiter) {
	if w.watch != nil && c.witnessed(w) {
		c.open = slices.DeleteFunc(c.open, func(o *waiter) bool { return o == w })
		c.settle()
	}
}

// witnessed sends the outcome to w, and reports true, if the witness shows that the entry holds everywhere. The
// caller holds mu.
func (c *confirmations) witnessed(w *waiter) bool {
	if !w.watch.Witnessed(time.Now()) {
		return false
	}
	c.tell(w)
	return true
}

// tell tells w that its entry holds everywhere. The caller holds mu.
func (c *confirmations) tell(w *waiter) {
	delete(c.byNonce, w.event.Nonce)
	w.result <- outcome{event: w.event, acked: w.watch.Acked(), reaped: w.watch.Reaped()}
}

// lose tells all waiters whose entries have not come back that their entries are lost. The syncer calls lose when
// this instance goes over to another log, another server, or a snapshot: entries written before may be gone without
// having been applied here, and no later event would say so. An entry that is in the log all the same is written
// twice, which is harmless.
func (c *confirmations) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for nonce, w := range c.byNonce {
		if w.watch == nil {
			delete(c.byNonce, nonce)
			w.result <- outcome{lost: true}
		}
	}
}

// observe tells the waiters whose entries hold on every instance, and returns the instances to reap.
func (c *confirmations) observe(live []fleet.Peer, now time.Time) (reap []fleet.Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = slices.DeleteFunc(c.open, func(w *waiter) bool {
		done, late := w.watch.Observe(live, now)
		reap = append(reap, late...)
		if done {
			c.tell(w)
		}
		return done
	})
	c.settle()
	return reap
}
