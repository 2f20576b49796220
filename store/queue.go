package store

import "cacheproxy/store/slab"

// The table evicts entries by S3-FIFO (Yang et al., SOSP '23). A new entry waits in a short queue. The entry moves to
// the long queue only if a request reads it meanwhile. A key that comes again soon after its eviction goes to the long
// queue at once. So a flood of URLs that are asked for once leaves the entries in place that are read again and again.
const (
	nowhere   = iota
	newcomers // the short queue
	residents // the long one
	queues
)

const (
	// newcomersShare is the divisor of the limit for newcomers: they have one tenth of the memory.
	newcomersShare = 10
	// mostReads is the largest count of reads of an entry.
	mostReads = 3
)

// queue has entries in order of arrival.
type queue struct {
	first, last slab.Ref // first is the latest arrival
	bytes       int64
}

// push adds an entry to a queue as its latest arrival. The caller of push, drop, moved, join, makeRoom and requeue
// holds mu.
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

// moved has the neighbours of an entry lead to the entry's new place.
func (t *table) moved(e *entry) { t.join(e, e.self, e.self) }

// join links the neighbours of an entry: the newer one leads to older, the older one to newer.
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

// makeRoom evicts entries until the rest fits the limit. The caller holds mu. kept stays, unless it is the only entry
// and too large.
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
			return // the queues are empty; what still counts has left the table, and readers hold it
		}
		if reads := e.reads(); e == kept && t.entries.Load() > 1 || reads > 0 || spared < maxSpared && t.isHeld(e) {
			if reads == 0 {
				spared++ // e is kept, or somebody has a reference to its copy
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

// maxSpared bounds how many entries in a row stay although nobody read them, because somebody has a reference to their
// copies. The eviction of such an entry frees no memory at once, but readers that hold copies for long must not have
// makeRoom spare all entries.
const maxSpared = 64

// requeue makes an entry the latest arrival of a queue.
func (t *table) requeue(e *entry, to uint8) {
	bytes := t.weight(e)
	t.drop(e, bytes)
	e.setQueue(to)
	t.push(to, e, bytes)
}

// isHeld reports whether anybody has a reference to the entry's copy, apart from the table.
func (*table) isHeld(e *entry) bool { return !e.isOther() && copyOf(e).Use.references.Load() > 1 }
