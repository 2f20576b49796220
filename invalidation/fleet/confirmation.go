package fleet

import (
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// Confirmation watches one entry until it holds on every instance (R13): each live instance has applied it, or has lost its lease.
// Only one goroutine may use a Confirmation at a time. The zero value is of no use.
type Confirmation struct {
	follower *Follower
	seq      uint64
	begun    time.Time // when the entry was in the log already
	acked    []string
	late     map[string]bool // instances that were seen without the entry, and not with it since
}

// Confirm begins to watch an entry that was applied here.
func (f *Follower) Confirm(seq uint64, now time.Time) *Confirmation {
	return &Confirmation{follower: f, seq: seq, begun: now, late: make(map[string]bool)}
}

// Observe takes in the live instances of a reply. The watch is done when all of them have applied the entry and no instance can be
// left that is not among them and holds a lease. An instance that shows signs of life without applying the entry is waited for no longer
// than one that shows none (R13b). The driver takes those in reap off the server's list, unless their heartbeats have
// changed since; the reply after that does not list them.
func (c *Confirmation) Observe(live []Peer, now time.Time) (done bool, reap []Peer) {
	c.follower.mu.RLock()
	defer c.follower.mu.RUnlock()
	done = !now.Before(c.follower.grace.settled())
	c.acked = c.acked[:0]
	for _, p := range live {
		if p.Applied >= c.seq {
			c.acked = append(c.acked, p.Name)
			delete(c.late, p.Name)
			continue
		}
		c.late[p.Name] = true
		if now.Sub(c.begun) < invalidation.Timeout(p.lease()) {
			done = false
		}
		if c.follower.detector.suspects(p, now) {
			reap = append(reap, p)
		}
	}
	return done, reap
}

// Acked are the live instances that have applied the entry, in the order of their names.
func (c *Confirmation) Acked() []string { return slices.Sorted(slices.Values(c.acked)) }

// Reaped are, once the watch is done, the instances whose lease has lapsed without that they had applied the entry: most went off the
// list, whoever took them off.
func (c *Confirmation) Reaped() []string { return slices.Sorted(maps.Keys(c.late)) }
