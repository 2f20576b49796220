package fleet

import (
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// Witness is what is known of one entry beside the heartbeats: who was on the list when the server appended it, and who has said that
// the entry is applied there (R13). It may be told of both before the entry is applied here. Only one goroutine may use it at a time.
// The zero value knows nothing.
type Witness struct {
	list    List
	applied map[string]bool
}

// Read takes in the list as it was in the step that appended the entry.
func (w *Witness) Read(l List) { w.list = l }

// Hear takes in that an instance says it has applied the entry. What it says is of the entry by its nonce: in its ledger the entry stays
// applied, whatever becomes of the log.
func (w *Witness) Hear(name string) {
	if w.applied == nil {
		w.applied = map[string]bool{}
	}
	w.applied[name] = true
}

// Confirmation watches one entry until it holds on every instance (R13): each live instance has applied it, or has lost its lease.
// Only one goroutine may use a Confirmation at a time. The zero value is of no use.
type Confirmation struct {
	follower *Follower
	seq      uint64
	begun    time.Time // when the entry was in the log already
	witness  *Witness
	acked    []string
	late     map[string]bool // instances that were seen without the entry, and not with it since
}

// Confirm begins to watch an entry that was applied here, and of which a witness tells.
func (f *Follower) Confirm(seq uint64, w *Witness, now time.Time) *Confirmation {
	return &Confirmation{follower: f, seq: seq, begun: now, witness: w, late: make(map[string]bool)}
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
		if p.Applied >= c.seq || c.witness.applied[p.Name] {
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

// Witnessed reports whether the watch is done by what the witness tells, without a reply: all that were on the list when the entry was
// appended have said that they have applied it. Who has come on the list since was told of the entry in the same step (R8). The list is
// worth as much as one of a reply where it is that of the server which the last reply came from, in the same edition, since the epoch is counted
// from when that took over, and from when others were taken off the list who may hold leases.
func (c *Confirmation) Witnessed(now time.Time) bool {
	c.follower.mu.RLock()
	defer c.follower.mu.RUnlock()
	g, w := &c.follower.grace, c.witness
	if w.list.Server == "" || w.list.Server != g.server || w.list.Edition != g.edition || now.Before(g.settled()) || !slices.Contains(w.list.Names, c.follower.name) {
		return false
	}
	for _, name := range w.list.Names {
		if name != c.follower.name && !w.applied[name] {
			return false
		}
	}
	c.acked = append(append(c.acked[:0], c.follower.name), slices.DeleteFunc(slices.Clone(w.list.Names), func(name string) bool { return name == c.follower.name })...)
	clear(c.late)
	return true
}

// Acked are the live instances that have applied the entry, in the order of their names.
func (c *Confirmation) Acked() []string { return slices.Sorted(slices.Values(c.acked)) }

// Reaped are, once the watch is done, the instances whose lease has lapsed without that they had applied the entry: most went off the
// list, whoever took them off.
func (c *Confirmation) Reaped() []string { return slices.Sorted(maps.Keys(c.late)) }
