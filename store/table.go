package store

import (
	"hash/maphash"
	"sync/atomic"
	"unsafe"

	"cacheproxy/lockorder"
	"cacheproxy/store/slab"
)

// table finds items by their keys, and lets go of some where all together take more than they may.
//
// # The invariant
//
// Whenever nobody holds mu,
//
//	bytes = blocks in use, of entries and of copies that have left and that somebody still has
//	      + entryOverhead for each entry
//	      + what items take that are in Go's memory
//	      ≤ limit, unless what is left cannot be let go of
//
// and the pages that the blocks stand in are no more than what is used, a sixteenth of the limit, and slack: what has become thinly
// used is moved together (compact).
//
// Entries have no pointers that Go's collector follows, and it does not look at them.
type table struct {
	room   *room
	index  slab.Heap // of the shards' buckets
	seed   maphash.Seed
	shards [shardCount]shard

	limit     atomic.Int64
	evictions atomic.Uint64
	entries   atomic.Int64
	others    atomic.Int64 // bytes of items in Go's memory

	// mu is held for every change. Who reads holds the lock of a shard alone.
	mu     lockorder.Mutex[lockorder.Copies]
	queues [queues]queue // guarded by mu
	ghosts ghosts        // guarded by mu

	slack int64 // see the constant; tests have less
}

const (
	shardBits  = 7
	shardCount = 1 << shardBits
	// leastBuckets is how many buckets a shard begins with.
	leastBuckets = 16
	// entryOverhead is what an entry takes beside its block, at the most, in bytes: a place in its shard's buckets, and one among the ghosts.
	entryOverhead = 8 + 8
	// perBucket is how many entries of a shard there are for each bucket before it gets more.
	perBucket = 2
	// slack is what is not worth moving anything for.
	slack = 4 << 20
)

// shard is a part of the table.
type shard struct {
	mu      lockorder.RWMutex[lockorder.CopyShard]
	buckets []*entry // guarded by mu; in the table's index
	run     uint32   // of buckets
	entries int
	items   []Item   // in Go's memory, at the places that their entries say; the first place is nobody's; guarded by mu
	unused  []uint32 // places in items
	_       [64]byte // keeps the locks of two shards off one cache line
}

// entry is the beginning of a block. Its key follows, or a Copy and then the key. Links and queue are guarded by the table's mu, next and
// what it leads to by that and the lock of the shard.
type entry struct {
	next         *entry // in its bucket
	older, newer *entry // in its queue
	hash         uint32
	run          uint32        // of the block
	key          uint32        // length
	item         uint32        // where in the shard's items it is; 0: a copy follows
	reads        atomic.Uint32 // since it came into its queue, up to mostReads; lower by one for each time that it might have had to go
	queue        uint8         // nowhere: it has left
}

func newTable(limit int64) *table {
	t := &table{room: newRoom(), seed: maphash.MakeSeed(), slack: slack}
	t.limit.Store(limit)
	return t
}

func (t *table) bytes() int64 {
	return t.room.heap.Used() + t.others.Load() + entryOverhead*t.entries.Load()
}

func (t *table) hash(key string) uint64 { return maphash.String(t.seed, key) }

func (t *table) shard(h uint64) *shard { return &t.shards[h>>(64-shardBits)] }

// text is the key of an entry. It is a view.
func (e *entry) text() string {
	at := entrySize
	if e.item == 0 {
		at += copySize
	}
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(e), at)), e.key)
}

// size is how long the block of an entry has to be.
func (e *entry) size() int {
	if e.item == 0 {
		c := copyOf(e)
		return int(entrySize) + c.packed.placesOf(c).end
	}
	return int(entrySize) + int(e.key)
}

// weight is what an entry takes.
func (t *table) weight(e *entry) int64 {
	n := int64(slab.Rounded(e.size())) + entryOverhead
	if e.item != 0 {
		n += int64(t.shard(t.hash(e.text())).items[e.item].cost())
	}
	return n
}

// find is the entry of a key; nil: there is none. The caller holds the lock of the shard, or the table's.
func (s *shard) find(h uint64, key string) *entry {
	if len(s.buckets) == 0 {
		return nil
	}
	for e := s.buckets[uint32(h)&uint32(len(s.buckets)-1)]; e != nil; e = e.next {
		if e.hash == uint32(h) && e.text() == key {
			return e
		}
	}
	return nil
}

func (s *shard) itemOf(e *entry) Item {
	if e.item == 0 {
		return copyOf(e)
	}
	return s.items[e.item]
}

// take gives the item of a key, with a reference to it, and counts a read.
func (t *table) take(key string) (Item, bool) {
	h := t.hash(key)
	s := t.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.find(h, key)
	if e == nil {
		return nil, false
	}
	if n := e.reads.Load(); n < mostReads {
		e.reads.Store(n + 1)
	}
	item := s.itemOf(e)
	counted(item).Hold()
	return item, true
}

// peek has look see the item of a key as long as it is there; it is not called where there is none. look must not call the table.
func (t *table) peek(key string, look func(Item)) {
	h := t.hash(key)
	s := t.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.find(h, key); e != nil {
		look(s.itemOf(e))
	}
}

// update replaces the item of a key by what f makes of it; see Memory.update. Nil removes it. It gives what is stored now, as f gave it, if that is
// not what was there.
func (t *table) update(key string, f func(Item) Item) (stored Item) {
	h := t.hash(key)
	s := t.shard(h)
	t.mu.Lock()
	defer t.mu.Unlock()
	e := s.find(h, key)
	var old Item
	if e != nil {
		old = s.itemOf(e)
	}
	next := f(old)
	if next == old {
		return nil
	}
	queue, reads := uint8(newcomers), uint32(0)
	if e != nil {
		queue, reads = e.queue, e.reads.Load()
	}
	var made *entry
	if next != nil {
		made = t.enter(h, s, key, next)
	}
	// Readers find the old one or the new one.
	s.mu.Lock()
	if e != nil {
		s.unlink(e)
	}
	if made != nil {
		t.link(s, made)
	}
	s.mu.Unlock()
	if e != nil {
		t.left(h, s, e)
	}
	if made == nil {
		return nil
	}
	if e == nil && t.ghosts.take(h, int(t.entries.Load())) {
		queue = residents
	}
	made.queue = queue
	made.reads.Store(reads)
	t.queues[queue].push(made, t.weight(made))
	t.makeRoom(made)
	t.compact()
	return next
}

// enter makes the entry of an item; nil: there is no room for it.
func (t *table) enter(h uint64, s *shard, key string, item Item) *entry {
	c, isCopy := item.(*Copy)
	if !isCopy {
		block, ok := t.room.heap.Alloc(int(entrySize) + len(key))
		if !ok {
			return nil
		}
		blank(block.At, entrySize)
		e := (*entry)(block.At)
		*e = entry{hash: uint32(h), run: block.Run, key: uint32(len(key)), item: t.place(s, item)}
		copy(unsafe.Slice((*byte)(unsafe.Add(block.At, entrySize)), len(key)), key)
		counted(item).Hold()
		return e
	}
	c.number()
	vary, ok := t.room.lists.take(c.Vary())
	if !ok {
		return nil
	}
	p := packingOf(c, vary)
	size := int(entrySize) + p.places(uint32(len(key))).end
	if int64(slab.Rounded(size))+entryOverhead > t.limit.Load() || len(c.Members()) != int(p.names) || len(c.Head()) != int(p.headLength) {
		t.room.lists.give(vary)
		return nil
	}
	block, ok := t.room.heap.Alloc(size)
	if !ok {
		t.room.lists.give(vary)
		return nil
	}
	blank(block.At, entrySize+copySize)
	n := p.pack((*cell)(block.At), key, c, &t.room.made)
	e := entryOf(n)
	e.hash, e.run = uint32(h), block.Run
	tellMade(n, nil)
	return e
}

// place finds a place for an item in Go's memory.
func (t *table) place(s *shard, item Item) (at uint32) {
	t.others.Add(int64(item.cost()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.unused); n > 0 {
		at, s.unused = s.unused[n-1], s.unused[:n-1]
		s.items[at] = item
		return at
	}
	if len(s.items) == 0 {
		s.items = append(s.items, nil)
	}
	s.items = append(s.items, item)
	return uint32(len(s.items) - 1)
}

// link puts an entry into its bucket. The caller holds the lock of the shard.
func (t *table) link(s *shard, e *entry) {
	if s.entries >= perBucket*len(s.buckets) {
		t.grow(s)
	}
	bucket := &s.buckets[e.hash&uint32(len(s.buckets)-1)]
	e.next, *bucket = *bucket, e
	s.entries++
	t.entries.Add(1)
}

// grow gives a shard twice as many buckets. There are so many shards that one is soon done.
func (t *table) grow(s *shard) {
	n := max(leastBuckets, 2*len(s.buckets))
	block, ok := t.index.Alloc(8 * n)
	if !ok {
		if len(s.buckets) == 0 {
			panic("store: the system has no memory for the table of copies")
		}
		return // buckets become longer
	}
	blank(block.At, uintptr(8*n))
	buckets := unsafe.Slice((**entry)(block.At), n)
	for _, e := range s.buckets {
		for e != nil {
			next, bucket := e.next, &buckets[e.hash&uint32(n-1)]
			e.next, *bucket = *bucket, e
			e = next
		}
	}
	if len(s.buckets) > 0 {
		t.index.Free(unsafe.Pointer(unsafe.SliceData(s.buckets)), s.run)
	}
	s.buckets, s.run = buckets, block.Run
}

// link of an entry in its bucket: what leads to it. The caller holds mu, or the lock of the shard.
func (s *shard) leadingTo(e *entry) **entry {
	at := &s.buckets[e.hash&uint32(len(s.buckets)-1)]
	for *at != e {
		at = &(*at).next
	}
	return at
}

// unlink takes an entry out of its bucket. The caller holds the lock of the shard.
func (s *shard) unlink(e *entry) {
	*s.leadingTo(e) = e.next
	e.next = nil
	s.entries--
}

// remove takes an entry out of the table. The caller holds mu.
func (t *table) remove(h uint64, e *entry) {
	s := t.shard(h)
	s.mu.Lock()
	s.unlink(e)
	s.mu.Unlock()
	t.left(h, s, e)
}

// left ends an entry that no reader finds any more. The caller holds mu.
func (t *table) left(h uint64, s *shard, e *entry) {
	t.queues[e.queue].remove(e, t.weight(e))
	e.queue = nowhere
	t.entries.Add(-1)
	if e.item == 0 {
		copyOf(e).Release()
		return
	}
	s.mu.Lock()
	item := s.items[e.item]
	s.items[e.item] = nil
	s.unused = append(s.unused, e.item)
	s.mu.Unlock()
	t.others.Add(-int64(item.cost()))
	counted(item).Release()
	t.room.heap.Free(unsafe.Pointer(e), e.run)
}

// close lets go of everything.
func (t *table) close() {
	t.fit(0)
	t.room.closed.Store(true)
	t.room.forget()
}

// fit changes the limit. What is beyond it leaves.
func (t *table) fit(limit int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit.Store(limit)
	t.makeRoom(nil)
	t.compact()
}
