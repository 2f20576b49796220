package fleet

import (
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// Witness is the knowledge of one entry that came beside the heartbeats: which instances were on the list when the
// server appended the entry, and which have told that they have applied the entry (R13). Read and Hear may be called
// before the entry is applied here. Only one goroutine may use a Witness at a time. The zero value knows nothing.
type Witness struct {
	list    List
	applied map[string]bool
}

// Read takes in the list as it was in the step that appended the entry.
func (w *Witness) Read(l List) { w.list = l }

// Hear notes that the named instance has told that it has applied the entry. Instances name the entry by its nonce.
// In their ledgers the entry stays applied, whatever becomes of the log.
func (w *Witness) Hear(name string) {
	if w.applied == nil {
		w.applied = map[string]bool{}
	}
	w.applied[name] = true
}

// Confirmation watches one entry until the entry holds on every instance (R13): each live instance has applied the
// entry, or has lost its lease. Only one goroutine may use a Confirmation at a time. Only Confirm makes usable
// Confirmations.
type Confirmation struct {
	follower *Follower
	seq      uint64
	begun    time.Time // a moment at which the entry was in the log already
	witness  *Witness
	acked    []string
	late     map[string]bool // instances that a list showed without the entry, and no later list with the entry
}

// Confirm begins to watch an entry that was applied here. w is the witness of the entry.
func (f *Follower) Confirm(seq uint64, w *Witness, now time.Time) *Confirmation {
	return &Confirmation{follower: f, seq: seq, begun: now, witness: w, late: make(map[string]bool)}
}

// Observe takes in the live instances of a reply. The watch is done when all of them have applied the entry, and no
// instance outside the list can hold a lease. An instance that shows signs of life without applying the entry is
// waited for no longer than an instance that shows none (R13b). The driver takes the instances in reap off the
// server's list, unless their heartbeats have changed since; the reply after that does not list them.
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

// Witnessed reports whether the watch is done by what the witness knows, without a reply: all instances that were on
// the list when the entry was appended have told that they have applied the entry. An instance that has come on the
// list since was told of the entry in the step that registered it (R8). The list of the witness counts as much as the
// list of a reply only if both are of the same server and the same edition. The epoch counts from when that server
// took over, and from when somebody took instances off the list that may hold leases.
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

// Acked returns the live instances that have applied the entry, in the order of their names.
func (c *Confirmation) Acked() []string { return slices.Sorted(slices.Values(c.acked)) }

// Reaped returns, once the watch is done, the instances whose lease has lapsed before they had applied the entry.
// Most of them went off the list, whichever instance took them off.
func (c *Confirmation) Reaped() []string { return slices.Sorted(maps.Keys(c.late)) }
