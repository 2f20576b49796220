package store

import "cacheproxy/store/slab"

// Entries give way as in S3-FIFO (Yang et al., SOSP '23): what comes for the first time waits in a short queue, and goes on to the long
// one only if it was read meanwhile, or comes again soon after it had to leave. So a flood of URLs that are asked for once passes by what
// is read again and again.
const (
	nowhere   = iota
	newcomers // the short queue
	residents // the long one
	queues
)

const (
	// newcomersShare is the part of the memory that newcomers have, one tenth.
	newcomersShare = 10
	// mostReads is up to how many reads of an entry are told apart.
	mostReads = 3
)

// queue is entries in the order in which they came.
type queue struct {
	first, last slab.Ref // first is the one that came last
	bytes       int64
}

// push has an entry begin in a queue. The caller of this and the following holds mu.
func (t *table) push(in uint8, e *entry, bytes int64) {
	q := &t.queues[in]
	e.older, e.newer = q.first, 0
	if q.first != 0 {
		t.at(q.first).newer = e.self
	} else {
		q.last = e.self
	}
	q.first = e.self
	q.bytes += bytes
}

// drop takes an entry out of its queue.
func (t *table) drop(e *entry, bytes int64) {
	t.join(e, e.older, e.newer)
	e.older, e.newer = 0, 0
	t.queues[e.queue()].bytes -= bytes
}

// moved tells the neighbours of an entry that it is at another place.
func (t *table) moved(e *entry) { t.join(e, e.self, e.self) }

// join has the newer neighbour of an entry lead to older, and the older one to newer.
func (t *table) join(e *entry, older, newer slab.Ref) {
	q := &t.queues[e.queue()]
	if e.newer != 0 {
		t.at(e.newer).older = older
	} else {
		q.first = older
	}
	if e.older != 0 {
		t.at(e.older).newer = newer
	} else {
		q.last = newer
	}
}

// makeRoom lets go of entries until what is there fits. The caller holds mu; kept stays, unless it is alone too large.
func (t *table) makeRoom(kept *entry) {
	spared := 0
	for t.bytes() > t.limit.Load() {
		short, long := &t.queues[newcomers], &t.queues[residents]
		from := residents
		if long.last == 0 || short.last != 0 && t.at(short.last) != kept && short.bytes > t.limit.Load()/newcomersShare {
			from = newcomers
		}
		e := t.at(t.queues[from].last)
		if e == nil {
			return // what is left is in use, and stands nowhere
		}
		if reads := e.reads(); e == kept && t.entries.Load() > 1 || reads > 0 || spared < maxSpared && t.isHeld(e) {
			if reads == 0 {
				spared++ // it is being read, or has just come
			} else if from == residents {
				e.setReads(reads - 1)
			} else {
				e.setReads(0)
			}
			t.requeue(e, residents)
			continue
		}
		spared = 0
		h := t.hashOf(e)
		t.ghosts.add(h, int(t.entries.Load()))
		t.remove(h, e)
		t.evictions.Add(1)
	}
}

// maxSpared is how many entries in a row stay although they were not read, because somebody has them just then: to let go of those makes
// no room, but who has one for long must not keep all others here.
const maxSpared = 64

// requeue has an entry begin anew at the end of a queue.
func (t *table) requeue(e *entry, to uint8) {
	bytes := t.weight(e)
	t.drop(e, bytes)
	e.setQueue(to)
	t.push(to, e, bytes)
}

// isHeld reports whether somebody has the copy of an entry.
func (*table) isHeld(e *entry) bool { return !e.isOther() && copyOf(e).Use.references.Load() > 1 }
