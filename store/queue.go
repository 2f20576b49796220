package store

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
	first, last *entry // first is the one that came last
	bytes       int64
}

func (q *queue) push(e *entry, bytes int64) {
	e.older, e.newer = q.first, nil
	if q.first != nil {
		q.first.newer = e
	} else {
		q.last = e
	}
	q.first = e
	q.bytes += bytes
}

func (q *queue) remove(e *entry, bytes int64) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		q.first = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		q.last = e.newer
	}
	e.older, e.newer = nil, nil
	q.bytes -= bytes
}

// moved tells the neighbours of an entry that it is at another place.
func (q *queue) moved(to *entry) {
	if to.newer != nil {
		to.newer.older = to
	} else {
		q.first = to
	}
	if to.older != nil {
		to.older.newer = to
	} else {
		q.last = to
	}
}

// makeRoom lets go of entries until what is there fits. The caller holds mu; kept stays, unless it is alone too large.
func (t *table) makeRoom(kept *entry) {
	spared := 0
	for t.bytes() > t.limit.Load() {
		short, long := &t.queues[newcomers], &t.queues[residents]
		from := residents
		if long.last == nil || short.last != nil && short.last != kept && short.bytes > t.limit.Load()/newcomersShare {
			from = newcomers
		}
		e := t.queues[from].last
		if e == nil {
			return // what is left is in use, and stands nowhere
		}
		if reads := e.reads.Load(); e == kept && t.entries.Load() > 1 || reads > 0 || spared < maxSpared && e.item == 0 && copyOf(e).references.Load() > 1 {
			if reads == 0 {
				spared++ // it is being read, or has just come
			} else if from == residents {
				e.reads.Store(reads - 1)
			} else {
				e.reads.Store(0)
			}
			t.requeue(e, residents)
			continue
		}
		spared = 0
		h := t.hash(e.text())
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
	t.queues[e.queue].remove(e, bytes)
	e.queue = to
	t.queues[to].push(e, bytes)
}
