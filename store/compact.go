package store

import "unsafe"

// mostMoves is how many runs one call of compact empties at most, so that it does not take long.
const mostMoves = 4

// compact moves the blocks of thinly used runs of pages to others, so that the runs become free. Copies that are in use are not moved; their run then
// stays. The caller holds mu.
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
			// An entry that has left the table keeps queue nowhere until its block is allocated again, which happens with mu held.
			if e := (*entry)(block.At); e.queue() == newcomers || e.queue() == residents {
				t.move(e, block.Size)
			}
		}
		heap.Open(run)
	}
}

// move moves an entry to another block, unless its copy is in use. The caller holds mu.
func (t *table) move(e *entry, size int) {
	s := t.shard(t.hashOf(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	// A reader takes its reference with the shard's lock held, so that the result does not change until the lock is released.
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
