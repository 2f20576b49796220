package store

import "cacheproxy/store/slab"

// Entries are evicted as in S3-FIFO (Yang et al., SOSP '23): a new entry begins in a short queue, and gets into the long one only if it is read
// meanwhile, or stored again soon after its eviction. So a flood of URLs that are asked for once does not displace what is read again and again.
const (
	nowhere   = iota
	newcomers // the short queue
	residents // the long one
	queues
)

const (
	// newcomersShare is the part of the memory for newcomers: one tenth.
	newcomersShare = 10
	// mostReads is up to how many reads of an entry are counted.
	mostReads = 3
)

// queue is entries in the order in which they came.
type queue struct {
	first, last slab.Ref // first is the one that came last
	bytes       int64
}

// push adds an entry to a queue as its latest. The caller of this and of the following methods holds mu.
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

// moved makes the neighbours of an entry refer to its new block.
func (t *table) moved(e *entry) { t.join(e, e.self, e.self) }

// join makes the newer neighbour of an entry refer to older, and its older neighbour to newer.
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

// makeRoom evicts entries until the table is within its limit. kept is evicted only if it is the last entry and alone too large.
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
			return // only blocks of copies in use are left, which are in no queue
		}
		if reads := e.reads(); e == kept && t.entries.Load() > 1 || reads > 0 || spared < maxSpared && t.isHeld(e) {
			if reads == 0 {
				spared++ // it is in use, or has just come
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

// maxSpared is how many unread entries in a row are spared because their copies are in use. Evicting those makes no room at once, but copies that are
// in use for long must not keep all others from being evicted.
const maxSpared = 64

// requeue moves an entry to a queue as its latest.
func (t *table) requeue(e *entry, to uint8) {
	bytes := t.weight(e)
	t.drop(e, bytes)
	e.setQueue(to)
	t.push(to, e, bytes)
}

// isHeld reports whether the copy of an entry is in use: it has references beside the table's.
func (*table) isHeld(e *entry) bool { return !e.isOther() && copyOf(e).Use.references.Load() > 1 }
