package fleet

import (
	"fmt"
	"time"

	"cacheproxy/invalidation"
)

// simRead is a request for a key.
type simRead struct {
	key                 int
	promised, converged int // versions that its answer must have
	at                  time.Duration
	arrival             invalidation.Token
	leased              bool // it came while the lease held
}

// simFlight is a fetch from the origin, which works as the proxy's do.
type simFlight struct {
	token   invalidation.Token
	joiners []*simRead
	next    []*simRead // may only share what is asked for after they came
}

func (i *simInstance) serve(q *simRead) {
	w := i.world
	if i.follower.View().Complete.IsZero() {
		return // not ready
	}
	q.arrival, q.leased = i.ledger.Token(), i.lease.Valid(w.clock())
	if !q.leased {
		w.count["without lease"]++
		i.miss(q)
		return
	}
	ids := w.membersOf(q.key)
	if c := i.memory[q.key]; c != nil && i.ledger.Check(&c.stamp, ids) == invalidation.Valid {
		i.reply(q, c.version, "memory")
		return
	}
	if w.r.IntN(10) < 2 {
		i.miss(q)
		return
	}
	done := false
	once := func() bool { was := done; done = true; return !was }
	i.call(func(n *node) func() {
		found, ok := n.keys[q.key]
		return func() {
			if !once() {
				return
			}
			if ok {
				if token, adopted := i.follower.FromLog(found.stamp); adopted {
					c := &simCopy{version: found.version}
					c.stamp.Set(token)
					if i.ledger.Check(&c.stamp, ids) == invalidation.Valid {
						i.memory[q.key] = c
						i.reply(q, found.version, "shared")
						return
					}
				}
			}
			i.miss(q)
		}
	})
	i.after(50*time.Millisecond, func() {
		if once() {
			i.miss(q)
		}
	})
}

func (i *simInstance) miss(q *simRead) {
	f, known := i.flights[q.key], []invalidation.ID{allID, simKeyID(q.key)}
	switch {
	case f == nil:
		i.fly(q.key, []*simRead{q})
	case q.leased && !i.ledger.Fenced(known) && !i.ledger.Since(f.token, known):
		f.joiners = append(f.joiners, q)
	default:
		f.next = append(f.next, q)
	}
}

func (i *simInstance) fly(key int, readers []*simRead) {
	w := i.world
	f := &simFlight{token: i.ledger.Token(), joiners: readers}
	i.flights[key] = f
	out, back := w.between(time.Millisecond, 20*time.Millisecond), w.between(time.Millisecond, 20*time.Millisecond)
	if w.r.IntN(20) == 0 {
		back = w.between(20*time.Millisecond, 600*time.Millisecond)
	}
	life := i.life
	w.after(out, func() {
		if i.life != life {
			return
		}
		version := w.version[key]
		i.after(back, func() { i.land(key, f, version) })
	})
}

func (i *simInstance) land(key int, f *simFlight, version int) {
	w := i.world
	delete(i.flights, key)
	ids := w.membersOf(key)
	if !i.store(key, version, f.token) {
		w.count["refused fills"]++
	}
	var again []*simRead
	for _, q := range f.joiners {
		if f.token.Before(q.arrival) && i.ledger.Since(f.token, ids) {
			again = append(again, q)
			continue
		}
		i.reply(q, version, "origin")
	}
	if again = append(again, f.next...); len(again) > 0 {
		i.fly(key, again)
	}
}

// store keeps a version as of a token, here and for the others.
func (i *simInstance) store(key, version int, token invalidation.Token) bool {
	w := i.world
	if !i.ledger.Admits(token, w.membersOf(key)) {
		return false
	}
	c := &simCopy{version: version}
	c.stamp.Set(token)
	i.memory[key] = c
	if stamp, ok := i.follower.ToLog(token); ok {
		i.call(func(n *node) func() {
			put := func(n *node) {
				if old, ok := n.keys[key]; !ok || old.stamp.History != stamp.History || old.stamp.Seq <= stamp.Seq {
					n.keys[key] = shelved{version, stamp}
				}
			}
			put(n)
			w.replicate(n, put)
			return nil
		})
	}
	return true
}

// keepReply keeps the answer to a write as the proxy does: under the token of its end, if nothing of its copy was touched after
// before.
func (i *simInstance) keepReply(key, version int, end Event, before invalidation.Token, named []invalidation.ID) {
	w := i.world
	receipt := invalidation.Receipt{Position: end.Position, Quiet: end.Quiet}
	if !receipt.Exclusive(before) || i.ledger.Since(before, invalidation.Without(w.membersOf(key), named)) {
		w.count["not kept"]++
		return
	}
	i.after(w.between(0, 20*time.Millisecond), func() { // the body comes
		if i.store(key, version, receipt.Token()) {
			w.count["kept"]++
		}
	})
}

func (i *simInstance) reply(q *simRead, version int, from string) {
	w := i.world
	w.count["reads"]++
	w.count["from "+from]++
	if version < q.promised {
		w.count["stale"]++
	}
	if version < q.converged {
		w.count["not converged"]++
	}
	if (version < q.promised || version < q.converged) && len(w.findings) < 3 {
		w.findings = append(w.findings, fmt.Sprintf("at %v %s gave version %d of key %d from %s, which came at %v; %d was promised, %d has to have converged",
			w.now, i.name, version, q.key, from, q.at, q.promised, q.converged))
	}
}
