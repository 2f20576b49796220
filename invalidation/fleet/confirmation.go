package fleet

import (
	"maps"
	"slices"
	"time"
)

// Confirmation watches until an entry of the log holds on every instance: each that is live has applied it, or has not been
// heard of for longer than its lease. It does no I/O and has no clock. The zero value is of no use.
type Confirmation struct {
	follower *Follower
	seq      uint64
	live     []string
	late     map[string]bool // who was seen without the entry, and not with it since
}

// Confirm begins to watch an entry that was applied here. An instance that was registered with a server from before this one
// has to have come over, or lost its lease, before its silence means anything.
func (f *Follower) Confirm(seq uint64) *Confirmation {
	return &Confirmation{follower: f, seq: seq, late: make(map[string]bool)}
}

// notBefore is when the silence of an instance that is not registered means that it uses no copies.
func (f *Follower) notBefore() time.Time {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.since.Add(f.patience())
}

// Hear takes in who is live. The instances to reap are to be taken off the list, if they have not been heard of since.
func (c *Confirmation) Hear(live []Peer, now time.Time) (done bool, reap []Peer) {
	done = !now.Before(c.follower.notBefore())
	c.live = c.live[:0]
	for _, p := range live {
		c.live = append(c.live, p.Name)
		if p.Applied >= c.seq {
			delete(c.late, p.Name)
			continue
		}
		done, c.late[p.Name] = false, true
		if c.follower.silent(p, now) {
			reap = append(reap, p)
		}
	}
	return done, reap
}

// Acked are the instances that are live, in the order of their names. Once Hear has said that the watch is over, all of them
// have applied the entry.
func (c *Confirmation) Acked() []string { return slices.Sorted(slices.Values(c.live)) }

// Reaped are, once the watch is over, the instances that went off the list without having applied the entry, whoever took them
// off.
func (c *Confirmation) Reaped() []string { return slices.Sorted(maps.Keys(c.late)) }
