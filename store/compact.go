package store

import "unsafe"

// mostMoves is how many runs compact empties for one change, so that no change takes long.
const mostMoves = 4

// compact moves the entries of thinly used runs into other runs, so that the heap can give pages back. A copy that
// somebody has a reference to stays in its block. Its run then stays too, and Open lets the heap use the run again. The
// caller holds mu.
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
			// An entry that has left the table is in no queue. Nobody writes its queue again until its block is given
			// out again, which happens with mu held.
			if e := (*entry)(block.At); e.queue() == newcomers || e.queue() == residents {
				t.move(e, block.Size)
			}
		}
		heap.Open(run)
	}
}

// move moves an entry to another block, unless somebody has a reference to its copy.
func (t *table) move(e *entry, size int) {
	s := t.shard(t.hashOf(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	// table.take adds a reference only with the lock of the shard. While move holds that lock, an entry that is not
	// held stays so.
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
