package store

import "unsafe"

// mostMoves is how many runs are left for one change, so that none takes long.
const mostMoves = 4

// compact moves what stands in thinly used pages together. What somebody has stays where it is; what is in its run stays as well then,
// and is used as before. The caller holds mu.
func (t *table) compact() {
	heap := &t.room.heap
	for range mostMoves {
		if heap.Pages()-heap.Used() <= t.limit.Load()/16+t.slack {
			return
		}
		run := heap.Sparsest()
		if run == 0 {
			return
		}
		for block := range heap.Blocks(run) {
			// The queue of one that has left is not written to until its block is given out again, which happens with mu held.
			if e := (*entry)(block.At); e.queue() == newcomers || e.queue() == residents {
				t.move(e, block.Size)
			}
		}
		heap.Open(run)
	}
}

// move moves an entry to another block, unless somebody has its copy.
func (t *table) move(e *entry, size int) {
	s := t.shard(t.hashOf(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	// Whoever takes the copy holds the lock for it. So this stays as it is.
	if t.isHeld(e) {
		return
	}
	block, ok := t.room.heap.Alloc(size)
	if !ok {
		return
	}
	to := (*entry)(block.At)
	copy(unsafe.Slice((*byte)(block.At), e.size()), unsafe.Slice((*byte)(unsafe.Pointer(e)), e.size()))
	to.self = block.Ref
	*t.leadingTo(s, e) = to.self
	t.moved(to)
	e.setQueue(nowhere)
	if e.isOther() {
		t.room.heap.Free(e.self)
		return
	}
	tellMade(copyOf(to), nil)
	t.room.release(copyOf(e))
}
