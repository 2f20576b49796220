package fleet

import (
	"fmt"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// simInstance is one instance: what drives its Follower, its memory and its flights.
type simInstance struct {
	world   *simWorld
	number  int
	life    int
	up      bool
	paused  time.Duration // until then nothing happens
	cut     time.Duration // until then nothing reaches the server
	syncing bool          // a request is under way
	wanted  bool          // another is to follow it
	server  *node
	name    string
	ledger  *invalidation.Ledger
	lease   *invalidation.Lease
	memory  map[int]*simCopy
	flights map[int]*simFlight

	follower *Follower
	waiting  map[uint64]*simWait // by nonce
	witness  map[uint64]*Witness // by nonce
	early    map[uint64]Event    // by nonce: nobody waited for them yet
}

type simCopy struct {
	version int
	stamp   invalidation.Stamp
}

// simWait waits for an entry.
type simWait struct {
	record invalidation.Record
	wait   invalidation.Wait
	done   func(Event)
	event  Event
	watch  *Confirmation // nil: it is not applied yet
}

func (i *simInstance) boot() {
	w := i.world
	i.life++
	i.up, i.paused, i.cut, i.server = true, 0, 0, w.primary
	i.name = fmt.Sprintf("i%d.%d", i.number, i.life)
	i.ledger, i.lease = invalidation.NewLedger(), invalidation.NewLease(w.clock())
	i.follower = NewFollower(i.ledger, i.lease, i.leaseLength(), i.name, uint64(i.number*1000+i.life))
	i.follower.limits, i.follower.positions.keep = simLimits, simLimits.ring
	i.syncing, i.wanted = false, false
	i.memory, i.flights, i.waiting = map[int]*simCopy{}, map[int]*simFlight{}, map[uint64]*simWait{}
	i.early, i.witness = map[uint64]Event{}, map[uint64]*Witness{}
	i.tick()
}

// restart kills the instance and starts it anew a little later.
func (i *simInstance) restart() {
	w := i.world
	i.up = false
	i.life++
	life := i.life
	w.after(w.between(10*time.Millisecond, 2*time.Second), func() {
		if i.life == life {
			i.boot()
		}
	})
}

func (i *simInstance) leaseLength() time.Duration {
	if i.world.unequal {
		return simLeases[i.number%len(simLeases)]
	}
	return simLease
}

func (i *simInstance) after(d time.Duration, run func()) {
	i.world.schedule(&event{at: i.world.now + d, run: run, instance: i, life: i.life})
}

// call runs at the server, then what that returns here. A message that is lost on the way is never replied to.
func (i *simInstance) call(at func(n *node) (replied func())) {
	w, n := i.world, i.server
	if w.now < i.cut {
		return
	}
	life := i.life
	w.after(w.latency(), func() {
		if i.life != life || w.now < i.cut || n.dead {
			return
		}
		replied := at(n)
		if replied == nil {
			return
		}
		i.after(w.latency(), func() {
			if w.now >= i.cut {
				replied()
			}
		})
	})
}

func (i *simInstance) tick() {
	i.sync()
	for _, r := range i.follower.Due(1000, i.world.clock()) {
		i.send(r, nil)
	}
	i.after(simBeat+i.world.between(0, 2*time.Millisecond), i.tick)
}

// sync sends a request, one after another.
func (i *simInstance) sync() {
	if i.syncing {
		i.wanted = true
		return
	}
	i.syncing, i.wanted = true, false
	q := i.follower.Request(i.world.clock())
	replied := func() bool {
		was := i.syncing && q.Beat == i.follower.beat
		if was {
			i.syncing = false
		}
		return was
	}
	i.call(func(n *node) func() {
		a := n.sync(q, i.name)
		return func() {
			if replied() {
				i.receive(q, a)
				if i.wanted {
					i.sync()
				}
			}
		}
	})
	i.after(i.leaseLength()/3, func() {
		if replied() && i.wanted {
			i.sync()
		}
	})
}

// hear takes in an entry that comes by itself, and tells its writer that it is applied; now and then it only has the log asked, as where
// an entry before was missed.
func (i *simInstance) hear(e Heard, writer *simInstance) {
	if i.syncing || i.world.r.IntN(4) == 0 || !i.follower.Hear(e, i.world.clock()) {
		i.sync()
		if !i.follower.Has(e.Seq, e.Nonce) {
			return
		}
	} else {
		i.world.count["heard"]++
		i.deliver()
	}
	if writer == i {
		return
	}
	life := writer.life
	i.call(func(n *node) func() {
		if writer.life == life && writer.up && writer.server == n && i.world.r.IntN(10) > 0 {
			writer.after(i.world.latency(), func() {
				if i.world.now >= writer.cut {
					writer.hearOf(e.Nonce, i.name)
				}
			})
		}
		return nil
	})
}

// hearOf takes in that an instance has applied an entry which was written here.
func (i *simInstance) hearOf(nonce uint64, name string) {
	w := i.witness[nonce]
	if w == nil {
		return
	}
	w.Hear(name)
	i.witnessed(nonce)
}

// witnessed ends the wait for an entry that holds everywhere by what was heard of it.
func (i *simInstance) witnessed(nonce uint64) {
	if s := i.waiting[nonce]; s != nil && s.watch != nil && s.event.Nonce == nonce && s.watch.Witnessed(i.world.clock()) {
		i.world.count["witnessed"]++
		i.finish(nonce, s, s.event)
	}
}

func (i *simInstance) receive(q SyncRequest, a SyncReply) {
	step := i.follower.Receive(q, a, i.world.clock())
	i.deliver()
	if a.Status == Current {
		i.confirm(a.Live)
	}
	switch step {
	case SyncAgain:
		i.sync()
	case CreateLog:
		previous := i.follower.View().History
		i.call(func(n *node) func() { n.found(previous); return i.sync })
	case FetchSnapshot:
		i.world.count["snapshots"]++
		i.call(func(n *node) func() {
			if n.history == (History{}) {
				return i.sync
			}
			s := n.snapshot()
			return func() { i.follower.InstallSnapshot(s, i.world.clock()); i.deliver(); i.sync() }
		})
	case CompareLogs:
		i.world.count["diverged"]++
		i.call(func(n *node) func() {
			places := n.places()
			return func() {
				common, found := i.follower.LastCommon(places)
				i.follower.Rewind(common, found, i.world.clock())
				i.deliver()
				i.sync()
			}
		})
	}
}

// deliver tells those who wait for entries.
func (i *simInstance) deliver() {
	for _, e := range i.follower.Events() {
		s := i.waiting[e.Nonce]
		switch {
		case s == nil:
			i.early[e.Nonce] = e
		case e.Lost:
			delete(i.waiting, e.Nonce)
			i.write(s.record, s.wait, s.done)
		case s.wait == invalidation.WaitAll:
			s.event, s.watch = e, i.follower.Confirm(e.Seq, i.witness[e.Nonce], i.world.clock())
			i.witnessed(e.Nonce)
			i.after(3*time.Millisecond, i.sync)
		default:
			i.finish(e.Nonce, s, e)
		}
	}
}

func (i *simInstance) finish(nonce uint64, s *simWait, e Event) {
	for n, other := range i.waiting {
		if other == s {
			delete(i.waiting, n)
			delete(i.witness, n)
		}
	}
	delete(i.waiting, nonce)
	delete(i.witness, nonce)
	s.done(e)
}

func (i *simInstance) confirm(live []Peer) {
	var nonces []uint64
	for n, s := range i.waiting {
		if s.watch != nil && n == s.event.Nonce {
			nonces = append(nonces, n)
		}
	}
	slices.Sort(nonces)
	again := false
	for _, n := range nonces {
		s := i.waiting[n]
		done, reap := s.watch.Observe(live, i.world.clock())
		for _, p := range reap {
			i.world.count["reaped"]++
			i.call(func(n *node) func() {
				if n.live[p.Name] == p {
					n.strike(p.Name)
				}
				return nil
			})
		}
		if done {
			if slices.ContainsFunc(live, func(p Peer) bool { return p.Applied < s.event.Seq }) {
				i.world.count["waited out"]++
			}
			i.finish(n, s, s.event)
		}
		again = again || !done
	}
	if again {
		i.after(3*time.Millisecond, i.sync)
	}
}

// write writes an entry until it is there to stay, and calls done when it holds as asked. Every attempt is another entry.
func (i *simInstance) write(r invalidation.Record, wait invalidation.Wait, done func(Event)) {
	s := &simWait{record: r, wait: wait, done: done}
	finished := false
	s.done = func(e Event) {
		if !finished {
			finished = true
			done(e)
		}
	}
	var try func()
	try = func() {
		if finished || s.watch != nil {
			return
		}
		i.send(r, s)
		i.after(300*time.Millisecond, try)
	}
	try()
}

func (i *simInstance) send(r invalidation.Record, s *simWait) {
	w := i.world
	r.Nonce = w.r.Uint64()
	h := i.follower.View().History
	witness := &Witness{}
	if s != nil {
		i.witness[r.Nonce] = witness
	}
	i.call(func(n *node) func() {
		list, replicated, ok := n.append(h, r, i)
		if !ok || s == nil {
			return nil
		}
		if w.nameless {
			list.Server = ""
		}
		expect := func() {
			i.waiting[r.Nonce], i.witness[r.Nonce] = s, witness
			witness.Read(list)
		}
		if !w.failovers || w.unreplicated {
			return func() { expect(); i.recall(r.Nonce) }
		}
		if replicated < 0 {
			return nil
		}
		epoch := w.epoch
		w.after(replicated-w.now+100*time.Microsecond, func() { // WAIT
			if w.epoch == epoch {
				i.after(w.latency(), func() { expect(); i.recall(r.Nonce) })
			}
		})
		return nil
	})
}

// recall tells a waiter of an entry that was applied before its writer knew that it was written.
func (i *simInstance) recall(nonce uint64) {
	s := i.waiting[nonce]
	if s == nil || s.watch != nil {
		return
	}
	for _, e := range slices.Backward(i.follower.positions.ring.entries) {
		if e.record.Nonce == nonce {
			s.event = Event{Nonce: nonce, Seq: e.record.Seq}
			if early, ok := i.early[nonce]; ok && !early.Lost {
				s.event = early
			}
			if s.wait == invalidation.WaitAll {
				s.watch = i.follower.Confirm(e.record.Seq, i.witness[nonce], i.world.clock())
				i.witnessed(nonce)
				i.after(3*time.Millisecond, i.sync)
				return
			}
			i.finish(nonce, s, s.event)
			return
		}
	}
}
