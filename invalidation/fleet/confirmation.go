package fleet

import (
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// Witness collects what is known of one entry apart from heartbeats: which instances were on the list when the server appended the entry, and which have
// said that they have applied it (R13). Both may come before the entry is applied here. Only one goroutine may use a Witness at a time. The zero value
// is ready.
type Witness struct {
	list    List
	applied map[string]bool
}

// Read notes the list as it was in the step that appended the entry.
func (w *Witness) Read(l List) { w.list = l }

// Hear notes that an instance has said that it has applied the entry. The instance names the entry by its nonce, so that this stays true whatever becomes
// of the log: in the instance's ledger the entry stays applied.
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
	begun    time.Time // a time at which the entry was already in the log
	witness  *Witness
	acked    []string        // the live instances that have applied the entry, as of the last call
	late     map[string]bool // instances that were live and had not applied the entry, and were not seen to have it since
}

// Confirm begins to watch an entry that was applied here. w is the entry's Witness.
func (f *Follower) Confirm(seq uint64, w *Witness, now time.Time) *Confirmation {
	return &Confirmation{follower: f, seq: seq, begun: now, witness: w, late: make(map[string]bool)}
}

// Observe takes in the live instances of a reply. The watch is done when all of them have applied the entry, and no other instance can hold a lease. An
// instance that does not apply the entry is waited for only for its lease timeout, even if it shows signs of life (R13b). The driver has to take the
// instances in reap off the server's list, unless their heartbeats have changed since; later replies then do not list them.
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

// Witnessed reports whether the watch is done according to the witness, without a reply: all instances that were on the list when the entry was appended
// have said that they have applied it. An instance that has registered since was told of the entry in the same step (R8). The list counts only if it
// is that of the server that the last reply came from, in the same edition: the epoch, after which no other instance can hold a lease, began when that
// server took over, or when instances were taken off its list.
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

// Reaped returns, once the watch is done, the instances that have not applied the entry, and whose lease has lapsed. Most of them are off the list.
func (c *Confirmation) Reaped() []string { return slices.Sorted(maps.Keys(c.late)) }
