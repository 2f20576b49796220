package fleet

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// The simulation runs the protocol of several instances, which is Follower, Confirmation, Ledger and Lease, against a model of
// the server, its replica, the network and the origin, on one thread and in simulated time. A seed decides everything.

const (
	simLease = time.Second
	simBeat  = 100 * time.Millisecond
	simKeys  = 24
	simTags  = 6
	simFence = 3 * time.Second
)

// simLimits are small enough for a run to exceed them.
var simLimits = limits{ring: 60, reissue: 5 * time.Second, fenceLife: simFence}

// simLeases are those of a fleet whose instances do not agree.
var simLeases = []time.Duration{simLease, 500 * time.Millisecond, 3 * time.Second}

// faults says what goes wrong in a run.
type faults struct {
	failovers  bool // the primary goes, its replica takes over: what it had not replicated is lost
	losses     bool // the server restarts without its last entries, or without any
	partitions bool
	pauses     bool
	crashes    bool
	stress     bool // more of all that
	instances  int  // zero: three

	unreplicated bool // an entry counts as written that no replica has yet
	returns      bool // after a failover the server before takes over again, with what it had
	restarts     bool // an instance starts anew whenever the server becomes another
	forgets      bool // a server that takes over knows of no instance
	restores     bool // the server is set back to what it held some time ago
	longWrites   bool // some writes take longer than the life of a fence
	shortLog     bool // the server keeps few entries, so that whoever misses some reads a snapshot
	unequal      bool // the instances have leases of different length
	nameless     bool // the server does not name itself
	strangers    bool // somebody writes into the log, and on the list of instances
}

// lossy reports whether an entry may be lost with all who have applied it.
func (f faults) lossy() bool { return f.losses || f.unreplicated || f.restores }

// logSize is how many entries the server keeps: who has missed more reads a snapshot.
func (f faults) logSize() int {
	if f.shortLog {
		return 30
	}
	return 400
}

type simWorld struct {
	faults
	r         *rand.Rand
	queue     schedule
	now       time.Duration
	order     int
	primary   *node
	replica   *node
	replayed  time.Duration // until when the replica has work
	epoch     int
	nodes     int
	editions  int     // of lists of instances
	saved     []*node // what the server held earlier
	instances []*simInstance

	version   []int // of each key, at the origin
	promised  []int // that every read must see: its invalidation was acknowledged
	converged []int // that every read must see although nobody was left to acknowledge it
	tags      [][]int
	count     map[string]int
	findings  []string
}

// simStart is when simulated time begins.
var simStart = time.Unix(1_000_000_000, 0)

// edition is one that no list of instances has had.
func (w *simWorld) edition() int {
	w.editions++
	return w.editions
}

func (w *simWorld) clock() time.Time { return simStart.Add(w.now) }

func (w *simWorld) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.r.Int64N(int64(hi-lo)+1))
}

func (w *simWorld) latency() time.Duration {
	if w.r.IntN(200) == 0 {
		return w.between(5*time.Millisecond, 200*time.Millisecond)
	}
	return w.between(200*time.Microsecond, time.Millisecond)
}

// membersOf are those of the copy of a key.
func (w *simWorld) membersOf(k int) []invalidation.ID {
	ids := []invalidation.ID{allID, simKeyID(k)}
	for _, t := range w.tags[k] {
		ids = append(ids, simTagID(t))
	}
	return ids
}

func simKeyID(k int) invalidation.ID {
	return invalidation.IDOf(policy.NewMember(policy.KindKey, fmt.Sprint(k)))
}
func simTagID(t int) invalidation.ID {
	return invalidation.IDOf(policy.NewMember(policy.KindTag, fmt.Sprint(t)))
}

// newWorld makes a world in which instances read, purge and write.
func newWorld(f faults, seed uint64) *simWorld {
	if f.instances == 0 {
		f.instances = 3
	}
	w := &simWorld{faults: f, r: rand.New(rand.NewPCG(seed, 1)), count: map[string]int{}}
	w.primary = &node{world: w, name: "n0", keys: map[int]shelved{}}
	w.replica = w.primary.clone()
	w.version, w.promised, w.converged = make([]int, simKeys), make([]int, simKeys), make([]int, simKeys)
	for k := range simKeys {
		w.tags = append(w.tags, []int{k % simTags, (k*7 + 3) % simTags})
	}
	for n := range f.instances {
		i := &simInstance{world: w, number: n}
		w.instances = append(w.instances, i)
		i.boot()
	}
	w.after(2*time.Second, w.read)
	w.after(2*time.Second, w.cms)
	w.after(2500*time.Millisecond, w.writer)
	w.after(3*time.Second, w.chaos)
	w.after(3*time.Second, w.save)
	w.after(3*time.Second, w.stranger)
	return w
}

// run lets a time go by.
func (w *simWorld) run(until time.Duration) {
	for len(w.queue) > 0 && w.now < until {
		e := heap.Pop(&w.queue).(*event)
		if i := e.instance; i != nil {
			if i.life != e.life {
				continue
			}
			if i.paused > e.at {
				e.at = i.paused
				heap.Push(&w.queue, e)
				continue
			}
		}
		w.now = e.at
		e.run()
	}
}

func (w *simWorld) any() *simInstance { return w.instances[w.r.IntN(len(w.instances))] }

func (w *simWorld) read() {
	i, k := w.any(), w.r.IntN(simKeys)
	q := &simRead{key: k, promised: w.promised[k], converged: w.converged[k], at: w.now}
	i.after(0, func() { i.serve(q) })
	w.after(w.between(100*time.Microsecond, 1200*time.Microsecond), w.read)
}

// cms changes everything that has a tag, and purges the tag; or one key by its own, where writes are long: there a tag is purged
// sooner than any of them ends.
func (w *simWorld) cms() {
	i, t := w.any(), w.r.IntN(simTags)
	member, changed := simTagID(t), map[int]int{}
	for k, tags := range w.tags {
		if w.longWrites && k == t || !w.longWrites && (tags[0] == t || tags[1] == t) {
			w.version[k]++
			changed[k] = w.version[k]
		}
	}
	if w.longWrites {
		member = simKeyID(t)
	}
	i.after(w.latency(), func() {
		i.write(invalidation.Record{Operation: invalidation.Invalidate, IDs: []invalidation.ID{member}}, invalidation.WaitAll, func(Event) {
			w.count["purges"]++
			for k, v := range changed {
				w.promised[k] = max(w.promised[k], v)
			}
		})
	})
	w.after(w.between(20*time.Millisecond, 120*time.Millisecond), w.cms)
}

// writer writes through an instance: fence, origin, end of the fence.
func (w *simWorld) writer() {
	i, k, fence := w.any(), w.r.IntN(simKeys/4), w.r.Uint64()
	ids := []invalidation.ID{simKeyID(k)}
	i.after(0, func() {
		epoch, begun := i.follower.View().Epoch, w.clock()
		i.write(invalidation.Record{Operation: invalidation.BeginFence, IDs: ids, Fence: fence, Life: simFence}, invalidation.WaitAll, func(Event) {
			i.follower.Hold(fence, epoch, begun)
			life, before := i.life, i.ledger.Token()
			sent := w.r.IntN(4) > 0
			takes, answers := w.between(time.Millisecond, 30*time.Millisecond), w.between(time.Millisecond, 10*time.Millisecond)
			if w.longWrites && w.r.IntN(10) == 0 {
				w.count["long writes"]++
				takes, answers = w.between(0, simFence), w.between(0, 2*simFence)
			}
			w.after(takes, func() {
				if !sent {
					w.undo(i, life, fence, ids)
					return
				}
				w.commit(i, life, k, fence, ids, before, answers)
			})
		})
	})
	w.after(w.between(30*time.Millisecond, 150*time.Millisecond), w.writer)
}

// undo ends a fence around a write that came to nothing: copies from before it are used again.
func (w *simWorld) undo(i *simInstance, life int, fence uint64, ids []invalidation.ID) {
	if i.life != life {
		return
	}
	i.after(0, func() {
		i.write(invalidation.Record{Operation: invalidation.EndFence, IDs: ids, Fence: fence, Life: time.Millisecond}, invalidation.WaitRecorded, func(Event) {
			w.count["writes undone"]++
		})
	})
}

func (w *simWorld) commit(i *simInstance, life, k int, fence uint64, ids []invalidation.ID, before invalidation.Token, answers time.Duration) {
	w.version[k]++
	v := w.version[k]
	if !w.lossy() {
		// Should the writer die now, its fence still leads to what it has changed.
		w.after(answers+simFence+simLease+4*time.Second, func() { w.converged[k] = max(w.converged[k], v) })
	}
	if i.life != life {
		return // it did not live to see it
	}
	i.after(answers, func() {
		end := invalidation.Record{Operation: invalidation.EndFence, IDs: ids, Fence: fence}
		if w.r.IntN(4) > 0 {
			if end, ok := i.follower.Conclude(end, w.clock()); ok {
				w.count["writes"]++
				w.count["concluded"]++
				w.promised[k] = max(w.promised[k], v)
				i.after(w.between(0, 20*time.Millisecond), func() { i.send(end, nil) })
				return
			}
		}
		i.write(end, invalidation.WaitAll, func(e Event) {
			w.count["writes"]++
			i.keepReply(k, v, e, before, ids)
			w.promised[k] = max(w.promised[k], v)
		})
	})
}

// chaos breaks something, again and again.
func (w *simWorld) chaos() {
	lo, hi := 1500*time.Millisecond, 6*time.Second
	if w.stress || w.losses || w.returns {
		lo, hi = 700*time.Millisecond, 2500*time.Millisecond
	}
	i := w.any()
	breaks := map[bool][]func(){}
	for _, f := range []struct {
		enabled bool
		do      func()
	}{
		{w.partitions, func() {
			w.count["partitions"]++
			i.cut = w.now + w.between(50*time.Millisecond, 4*time.Second)
		}},
		{w.pauses, func() {
			w.count["pauses"]++
			i.paused = w.now + w.between(50*time.Millisecond, 3*time.Second)
		}},
		{w.crashes, func() {
			w.count["crashes"]++
			i.restart()
		}},
		{w.failovers, w.failover},
		{w.losses, w.lose},
		{w.restores, w.restore},
	} {
		breaks[f.enabled] = append(breaks[f.enabled], f.do)
	}
	if possible := breaks[true]; len(possible) > 0 {
		possible[w.r.IntN(len(possible))]()
	}
	w.after(w.between(lo, hi), w.chaos)
}

// failover has the replica take the place of the primary.
func (w *simWorld) failover() {
	w.count["failovers"]++
	before := w.primary
	w.promote(w.replica, false)
	if w.forgets {
		for _, n := range []*node{w.primary, w.replica} {
			clear(n.live)
			n.counted = 0
		}
	}
	w.move()
	if w.restarts {
		w.any().restart()
	}
	if !w.returns || w.r.IntN(2) == 0 {
		return
	}
	epoch, same := w.epoch, w.r.IntN(2) == 0
	w.after(w.between(300*time.Millisecond, 3*time.Second), func() {
		if w.epoch == epoch {
			w.count["returns"]++
			w.promote(before, same)
			w.move()
		}
	})
}

// move has all instances find the primary.
func (w *simWorld) move() {
	for _, i := range w.instances {
		i.cut = 0
		i.after(w.between(0, 300*time.Millisecond), func() { i.server = w.primary })
	}
}

// save keeps what the server holds.
func (w *simWorld) save() {
	if !w.restores {
		return
	}
	if w.saved = append(w.saved, w.primary.clone()); len(w.saved) > 4 {
		w.saved = w.saved[1:]
	}
	w.after(3*time.Second, w.save)
}

// restore sets the server back to what it held some time ago.
func (w *simWorld) restore() {
	w.count["restores"]++
	if w.r.IntN(3) == 0 {
		w.count["emptied"]++
		w.promote(&node{world: w, keys: map[int]shelved{}}, false)
		w.move()
	}
	w.after(w.between(0, 3*time.Second), func() {
		w.promote(w.saved[w.r.IntN(len(w.saved))].clone(), false)
		w.move()
	})
}

// lose empties the server, or restarts it without its last entries, or without any. Nobody reaches it meanwhile.
func (w *simWorld) lose() {
	if w.primary.dead {
		return // it is away already
	}
	next := w.primary.clone()
	switch w.r.IntN(4) {
	case 0:
		w.count["losses"]++
		next = &node{world: w, keys: map[int]shelved{}}
	case 1:
		w.count["emptied"]++
		p := w.primary
		*p = node{world: w, name: p.name, keys: map[int]shelved{}}
		return
	default:
		w.count["cuts"]++
		next.cutOff(w.r.IntN(8))
	}
	away := w.between(10*time.Millisecond, 3*time.Second)
	w.primary.dead = true
	w.after(away, func() {
		w.promote(next, false)
		for _, i := range w.instances {
			i.after(w.between(0, 300*time.Millisecond), func() { i.server = w.primary })
		}
	})
}

// stranger puts an item into the log that is no entry, so that the log cannot go on, or takes one or all off the list, or puts an instance on it that never
// acknowledges: it shows signs of life for a while, or has shown its last one, and says that it owes entries.
func (w *simWorld) stranger() {
	if !w.strangers {
		return
	}
	w.after(w.between(time.Second, 6*time.Second), w.stranger)
	switch w.r.IntN(4) {
	case 0:
		w.count["foreign"]++
		w.primary.foreign = true
		return
	case 1:
		w.count["unlisted"]++
		if names := slices.Sorted(maps.Keys(w.primary.live)); len(names) > 0 && w.r.IntN(3) > 0 {
			w.count["unlisted alone"]++
			delete(w.primary.live, names[w.r.IntN(len(names))])
			return
		}
		clear(w.primary.live)
		return
	}
	w.count["phantoms"]++
	w.nodes++
	name, until := fmt.Sprintf("phantom%d", w.nodes), w.now+w.between(0, 5*time.Second)
	phantom := Peer{Name: name, Owes: w.r.IntN(2) == 0, Lease: simLease}
	var beat func()
	beat = func() {
		phantom.Beat++
		w.primary.live[name] = phantom
		if w.now < until {
			w.after(simBeat, beat)
		}
	}
	beat()
}

// promote makes a server the primary: the same process as before, or another.
func (w *simWorld) promote(n *node, same bool) {
	w.epoch++
	w.nodes++
	w.primary.dead = true
	if n.dead = false; !same {
		n.name = fmt.Sprintf("n%d", w.nodes)
	}
	w.primary, w.replica, w.replayed = n, n.clone(), w.now
}
