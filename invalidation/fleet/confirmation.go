package fleet

import (
	"maps"
	"slices"
	"time"
)

// Confirmation watches one entry until it holds on every instance (R13): each live instance has applied it, or has lost its lease.
// Only one goroutine may use a Confirmation at a time. The zero value is of no use.
type Confirmation struct {
	follower *Follower
	seq      uint64
	live     []string
	late     map[string]bool // instances that were seen without the entry, and not with it since
}

// Confirm begins to watch an entry that was applied here.
func (f *Follower) Confirm(seq uint64) *Confirmation {
	return &Confirmation{follower: f, seq: seq, late: make(map[string]bool)}
}

// Observe takes in the live instances of a reply. The watch is done when all of them have applied the entry and no instance can be
// left that is not among them and holds a lease. The driver takes those in reap off the server's list, unless their heartbeats have
// changed since; the reply after that does not list them.
func (c *Confirmation) Observe(live []Peer, now time.Time) (done bool, reap []Peer) {
	c.follower.mu.RLock()
	defer c.follower.mu.RUnlock()
	done = !now.Before(c.follower.grace.settled())
	c.live = c.live[:0]
	for _, p := range live {
		c.live = append(c.live, p.Name)
		if p.Applied >= c.seq {
			delete(c.late, p.Name)
			continue
		}
		done, c.late[p.Name] = false, true
		if c.follower.detector.suspects(p, now) {
			reap = append(reap, p)
		}
	}
	return done, reap
}

// Acked are the instances that are live, in the order of their names. Once the watch is done, all of them have applied the entry.
func (c *Confirmation) Acked() []string { return slices.Sorted(slices.Values(c.live)) }

// Reaped are, once the watch is done, the instances that went off the list without having applied the entry, whoever took them
// off.
func (c *Confirmation) Reaped() []string { return slices.Sorted(maps.Keys(c.late)) }
