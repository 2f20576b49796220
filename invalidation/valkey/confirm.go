package valkey

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/lockorder"
)

// confirmations are the entries that somebody waits for. A writer of an entry registers a waiter before the entry is written; the
// syncer brings the entry back from the log, and watches the other instances apply it.
//
// Under mu the follower's lock is taken, and nothing is waited for: each waiter's channel has room for its one outcome.
type confirmations struct {
	mu      lockorder.Mutex[lockorder.Confirmations]
	byNonce map[uint64]*waiter // of entries on their way; guarded by mu
	open    []*waiter          // of entries that others have to apply; guarded by mu
	oldest  time.Time          // since when open has waiters; zero: none; guarded by mu
	newest  time.Time          // when the last one came to open; guarded by mu
}

// waiter waits for one entry. All but result are guarded by confirmations.mu; the syncer alone sets watch and event.
type waiter struct {
	wait    invalidation.Wait
	witness fleet.Witness
	watch   *fleet.Confirmation
	event   fleet.Event
	result  chan outcome // has room for one
}

// outcome is what became of an entry.
type outcome struct {
	event         fleet.Event
	lost          bool
	acked, reaped []string
}

// expect registers a waiter for an entry, which must not be written yet: the syncer could apply it first, and would find nobody
// to tell.
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

// settle notes since when somebody waits. The caller holds mu.
func (c *confirmations) settle() {
	switch {
	case len(c.open) == 0:
		c.oldest = time.Time{}
	case c.oldest.IsZero():
		c.oldest = time.Now()
	}
}

// since is since when somebody waits for other instances, and when the last began to; zero: nobody does.
func (c *confirmations) since() (oldest, newest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.oldest, c.newest
}

// deliver tells those who wait for entries that the log has brought, or has lost. It reports whether one is to be waited for elsewhere.
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

// list takes in who was on a server's list when an entry was appended that somebody here waits for.
func (c *confirmations) list(nonce uint64, list fleet.List) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.byNonce[nonce]; w != nil {
		w.witness.Read(list)
		c.finish(w)
	}
}

// hear takes in that an instance has applied entries.
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

// finish ends the wait for an entry that holds everywhere by what its witness tells. The caller holds mu.
func (c *confirmations) finish(w *waiter) {
	if w.watch != nil && c.witnessed(w) {
		c.open = slices.DeleteFunc(c.open, func(o *waiter) bool { return o == w })
		c.settle()
	}
}

// witnessed tells who waits for an entry that it holds everywhere, if its witness says so. The caller holds mu.
func (c *confirmations) witnessed(w *waiter) bool {
	if !w.watch.Witnessed(time.Now()) {
		return false
	}
	c.tell(w)
	return true
}

// tell tells who waits for an entry that it holds everywhere. The caller holds mu.
func (c *confirmations) tell(w *waiter) {
	delete(c.byNonce, w.event.Nonce)
	w.result <- outcome{event: w.event, acked: w.watch.Acked(), reaped: w.watch.Reaped()}
}

// lose tells those whose entries have not come back when this instance goes over to another log, another server, or a snapshot: what was
// written before may be gone without having been applied here, and nothing would tell of it. An entry that is there all the same is
// written twice, which is harmless.
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

// observe tells those whose entries hold on every instance, and returns the instances to reap.
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
