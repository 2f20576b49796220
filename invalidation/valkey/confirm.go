package valkey

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
)

// confirmations are the entries that somebody waits for.
type confirmations struct {
	mu      sync.Mutex
	byNonce map[uint64]*waiter // of entries on their way; guarded by mu
	open    []*waiter          // of entries that others have to apply; guarded by mu
	oldest  time.Time          // since when there is one in open; zero: none; guarded by mu
}

// waiter waits for one entry.
type waiter struct {
	wait   invalidation.Wait
	watch  *fleet.Confirmation
	event  fleet.Event
	result chan outcome // has room for one
}

// outcome is what became of an entry.
type outcome struct {
	event         fleet.Event
	lost          bool
	acked, reaped []string
}

// expect has the waiter told of an entry, which must not be written yet.
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

// settle notes whether anybody waits. The caller holds mu.
func (c *confirmations) settle() {
	switch {
	case len(c.open) == 0:
		c.oldest = time.Time{}
	case c.oldest.IsZero():
		c.oldest = time.Now()
	}
}

// since is since when somebody waits for other instances; zero: nobody does.
func (c *confirmations) since() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.oldest
}

// deliver tells those who wait what the log has brought.
func (l *Log) deliver() {
	events := l.follower.Events()
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		if e.Notice.Subject != "" && !e.Lost && l.options.Heed != nil {
			l.options.Heed(e.Notice)
		}
	}
	c := &l.confirmations
	c.mu.Lock()
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
			w.event, w.watch = e, l.follower.Confirm(e.Seq)
			c.open = append(c.open, w)
		}
	}
	c.settle()
	c.mu.Unlock()
	l.applied.send()
}

// confirm tells those whose entries hold everywhere, and takes instances off the list that are dead.
func (l *Log) confirm(ctx context.Context, client commander, live []fleet.Peer, now time.Time) {
	c := &l.confirmations
	dead := map[fleet.Peer]bool{}
	for _, p := range l.follower.Silent(now) {
		dead[p] = true
	}
	c.mu.Lock()
	c.open = slices.DeleteFunc(c.open, func(w *waiter) bool {
		done, reap := w.watch.Hear(live, now)
		for _, p := range reap {
			dead[p] = true
		}
		if done {
			delete(c.byNonce, w.event.Nonce)
			w.result <- outcome{event: w.event, acked: w.watch.Acked(), reaped: w.watch.Reaped()}
		}
		return done
	})
	c.settle()
	c.mu.Unlock()
	for p := range dead {
		l.reap(ctx, client, p)
	}
}

func (l *Log) reap(ctx context.Context, client commander, p fleet.Peer) {
	state := strconv.FormatUint(p.Beat, 10) + ":" + strconv.FormatUint(p.Applied, 10) + ":" + flag(p.Owes)
	r, err := newReader(reapScript.run(ctx, client, []string{l.keys.meta, l.keys.live}, []string{l.historyNow(), p.Name, state}))
	switch {
	case err != nil:
		l.options.Log.Warn("dead instance not taken off the list", "instance", p.Name, "error", err)
		return
	case r.text() != "OK" || r.text() != "1":
		return // it has been heard of since, or another instance was faster
	}
	l.options.Log.Warn("instance is dead, or cut off for longer than its lease, and was taken off the list", "instance", p.Name)
}
