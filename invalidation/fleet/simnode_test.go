package fleet

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"time"

	"cacheproxy/invalidation"
)

// node is a server that keeps the log. Its methods are what the scripts do.
type node struct {
	world   *simWorld
	name    string
	dead    bool
	history History
	// previous is the history that the instance followed which began this one.
	previous History
	keeper   string        // which server kept the log last
	longest  time.Duration // lease
	terms    []Term
	log      []invalidation.Record // the last of them; the first has number first+1
	first    uint64
	marks    map[invalidation.ID]Mark
	fences   map[uint64]invalidation.Record
	live     map[string]Peer
	counted  int             // of live, as those who registered and were reaped have left it
	edition  int             // of live
	keys     map[int]shelved // copies
	foreign  bool            // the log holds what is no entry
}

// shelved is a copy on the server.
type shelved struct {
	version int
	stamp   LogPosition
}

func (n *node) clone() *node {
	c := &node{world: n.world, history: n.history, previous: n.previous, keeper: n.keeper, longest: n.longest, terms: slices.Clone(n.terms), log: slices.Clone(n.log), first: n.first, counted: n.counted, edition: n.edition, marks: map[invalidation.ID]Mark{}, fences: map[uint64]invalidation.Record{}, live: map[string]Peer{}, keys: map[int]shelved{}}
	for k, v := range n.marks {
		c.marks[k] = v
	}
	for k, v := range n.fences {
		c.fences[k] = v
	}
	for k, v := range n.live {
		c.live[k] = v
	}
	for k, v := range n.keys {
		c.keys[k] = v
	}
	return c
}

func (n *node) seq() uint64 { return n.first + uint64(len(n.log)) }

func (n *node) at(seq uint64) (invalidation.Record, bool) {
	if seq <= n.first || seq > n.seq() {
		return invalidation.Record{}, false
	}
	return n.log[seq-n.first-1], true
}

// found begins a history where there is none, for an instance that has followed another. It does not name the one that somebody has
// damaged.
func (n *node) found(previous History) {
	if n.history != (History{}) && !n.foreign {
		return
	}
	if n.foreign {
		previous = History{}
	}
	var random History
	binary.BigEndian.PutUint64(random[:], n.world.r.Uint64())
	h := NewHistory(random)
	edition := n.world.edition()
	begin := func(n *node) {
		n.counted, n.edition = 0, edition
		n.history, n.previous, n.log, n.first, n.keeper, n.terms, n.longest, n.foreign = h, previous, nil, 0, "", nil, 0, false
		n.marks, n.fences, n.live = map[invalidation.ID]Mark{}, map[uint64]invalidation.Record{}, map[string]Peer{}
	}
	begin(n)
	n.world.replicate(n, begin)
}

// take begins a term where another server kept the log before.
func (n *node) take() {
	if n.keeper == n.name || n.history == (History{}) || n.world.nameless {
		return
	}
	name, term := n.name, Term{n.world.r.Uint32(), n.seq()}
	begin := func(n *node) { n.keeper, n.terms = name, append(n.terms, term) }
	begin(n)
	n.world.replicate(n, begin)
}

func (n *node) sync(q SyncRequest, name string) SyncReply {
	n.take()
	a := SyncReply{Server: n.name}
	if n.history == (History{}) || n.history != q.History || n.foreign || n.world.nameless {
		a.Server = ""
	}
	if last := len(n.terms) - 1; last >= 0 && n.terms[last].Name != q.Term {
		a.Terms = slices.Clone(n.terms)
	}
	switch {
	case n.history == (History{}):
		a.Status = NoHistory
	case n.history != q.History:
		a.Status = OtherHistory
	case n.foreign:
		a.Status = NoHistory
	case q.Applied > n.seq():
		a.Status = Diverged
	default:
		if e, ok := n.at(q.Applied); q.Applied > 0 && !ok {
			a.Status = Gap
		} else if q.Applied > 0 && e.Nonce != q.Nonce {
			a.Status = Diverged
		}
	}
	if a.Status != Current {
		return a
	}
	p := Peer{Name: name, Beat: q.Beat, Applied: q.Applied, Owes: q.Owes, Lease: q.Lease, Held: q.Held, Term: q.Term}
	if a.Edition = n.list(); a.Edition != q.Edition {
		p.Held = 0
	}
	register := func(n *node) {
		n.live[name], n.longest = p, max(n.longest, q.Lease, q.Longest)
		n.counted = len(n.live)
	}
	register(n)
	n.world.replicate(n, register)
	a.Longest = n.longest
	a.Seq = n.seq()
	if q.Applied >= n.first {
		missing := n.log[q.Applied-n.first:]
		a.Records = slices.Clone(missing[:min(len(missing), 50)])
	} else if q.Applied < a.Seq {
		a.Records = slices.Clone(n.log[:min(len(n.log), 50)])
	}
	for _, p := range n.live {
		a.Live = append(a.Live, p)
	}
	slices.SortFunc(a.Live, func(a, b Peer) int { return int(a.Beat) - int(b.Beat) })
	return a
}

// list is the edition of the list: another where somebody has taken instances off, or put them on.
func (n *node) list() string {
	if len(n.live) != n.counted {
		counted, edition := len(n.live), n.world.edition()
		edit := func(n *node) { n.counted, n.edition = counted, edition }
		edit(n)
		n.world.replicate(n, edit)
	}
	return strconv.Itoa(n.edition)
}

// strike takes an instance off the list.
func (n *node) strike(name string) {
	n.list()
	strike := func(n *node) {
		delete(n.live, name)
		n.counted = len(n.live)
	}
	strike(n)
	n.world.replicate(n, strike)
}

// append adds an entry and tells it to all. It says who is on the list, and when the replica has the entry; never, if there is none.
func (n *node) append(h History, r invalidation.Record, writer *simInstance) (list List, replicated time.Duration, ok bool) {
	if n.history != h || h == (History{}) || n.foreign {
		return list, 0, false
	}
	n.take()
	r.Seq = n.seq() + 1
	before, _ := n.at(n.seq())
	n.add(r)
	for _, i := range n.world.instances {
		if i.up && i.server == n && n.world.now >= i.cut {
			i.after(n.world.latency(), func() { i.hear(Heard{r, before.Nonce}, writer) })
		}
	}
	return List{n.name, n.list(), slices.Sorted(maps.Keys(n.live))}, n.world.replicate(n, func(x *node) { x.add(r) }), true
}

func (n *node) add(r invalidation.Record) {
	n.log = append(n.log, r)
	for _, id := range r.IDs {
		n.marks[id] = Mark{ID: id, Seq: r.Seq}
	}
	switch r.Operation {
	case invalidation.BeginFence:
		n.fences[r.Fence] = r
	case invalidation.EndFence:
		delete(n.fences, r.Fence)
	}
	if over := len(n.log) - n.world.logSize(); over > n.world.logSize()/4 {
		n.log, n.first = slices.Clone(n.log[over:]), n.first+uint64(over)
	}
}

// cutOff loses the last entries.
func (n *node) cutOff(count int) {
	n.log = n.log[:max(0, len(n.log)-count)]
	for len(n.terms) > 0 && n.terms[len(n.terms)-1].Start > n.seq() {
		n.terms, n.keeper = n.terms[:len(n.terms)-1], "" // it had not come to the disk either
	}
	for id, m := range n.marks {
		if m.Seq > n.seq() {
			// What the mark was before is not known any more here; to be too low is what a loss amounts to.
			n.marks[id] = Mark{ID: id, Seq: n.seq()}
		}
	}
}

func (n *node) snapshot() Snapshot {
	s := Snapshot{History: n.history, Previous: n.previous, Seq: n.seq()}
	if e, ok := n.at(s.Seq); ok {
		s.Nonce = e.Nonce
	}
	for _, m := range n.marks {
		s.Marks = append(s.Marks, m)
	}
	slices.SortFunc(s.Marks, func(a, b Mark) int {
		if a.Seq != b.Seq {
			return int(a.Seq) - int(b.Seq)
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for _, r := range n.fences {
		s.Fences = append(s.Fences, r)
	}
	slices.SortFunc(s.Fences, func(a, b invalidation.Record) int { return int(a.Seq) - int(b.Seq) })
	return s
}

// places are those of the log, backwards.
func (n *node) places() []Place {
	var places []Place
	for _, e := range slices.Backward(n.log) {
		places = append(places, Place{e.Seq, e.Nonce})
	}
	return places
}

// replicate has the replica do the same a little later, in the same order. It says when; never, where n has no replica.
func (w *simWorld) replicate(n *node, do func(*node)) time.Duration {
	if n != w.primary {
		return -1
	}
	slow := 50
	if w.stress {
		slow = 12
	}
	lag := w.between(200*time.Microsecond, 2*time.Millisecond)
	if w.r.IntN(slow) == 0 {
		lag = w.between(100*time.Millisecond, 800*time.Millisecond)
	}
	w.replayed = max(w.replayed, w.now+lag)
	at, replica, epoch := w.replayed, w.replica, w.epoch
	w.after(at-w.now, func() {
		if w.epoch == epoch {
			do(replica)
		}
	})
	return at
}
