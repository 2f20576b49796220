package store

import (
	"hash/maphash"
	"sync/atomic"
	"unsafe"

	"cacheproxy/lockorder"
	"cacheproxy/store/slab"
)

// table is a hash table of items by their keys. It evicts entries to stay within a limit of bytes.
//
// # The invariant
//
// Whenever nobody holds mu,
//
//	bytes = blocks in use, of entries and of copies that have left the table and are still in use
//	      + entryOverhead for each entry
//	      + the cost of items in Go's memory
//	      ≤ limit, unless what is left cannot be evicted
//
// and the pages that the blocks are in are at most the bytes of the blocks, plus a sixteenth of the limit, plus slack: compact moves the blocks of thinly
// used pages together.
//
// Entries are not in Go's memory, and have no pointers, so that Go's collector does not look at them.
type table struct {
	room   *room
	index  slab.Heap // of the shards' buckets
	seed   maphash.Seed
	shards [shardCount]shard

	limit     atomic.Int64
	evictions atomic.Uint64
	entries   atomic.Int64
	others    atomic.Int64 // bytes of items in Go's memory

	// mu is held for every change. Readers hold only the lock of a shard.
	mu     lockorder.Mutex[lockorder.Copies]
	queues [queues]queue // guarded by mu
	ghosts ghosts        // guarded by mu

	scratch []byte // for a key; guarded by mu

	slack int64 // see the constant; tests have less
}

const (
	shardBits  = 7
	shardCount = 1 << shardBits
	// leastBuckets is how many buckets a shard begins with.
	leastBuckets = 16
	// entryOverhead is how many bytes an entry takes beside its block, at most: in the buckets of its shard, and in the ghosts.
	entryOverhead = 4 + 8
	// perBucket is how many entries a shard may have for each bucket before it gets more buckets.
	perBucket = 2
	// slack is how many bytes of unused pages are accepted without moving blocks.
	slack = 4 << 20
)

// shard is a part of the table.
type shard struct {
	mu      lockorder.RWMutex[lockorder.CopyShard]
	buckets []slab.Ref // guarded by mu; in the table's index
	block   slab.Ref   // of buckets
	entries int
	items   []Item   // items in Go's memory, by other.item; items[0] is not used; guarded by mu
	unused  []uint32 // unused indexes of items; guarded by mu
	_       [64]byte // keeps the locks of two shards off one cache line
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

// at is the entry of a block; nil: of none.
func (t *table) at(r slab.Ref) *entry {
	if r == 0 {
		return nil
	}
	return (*entry)(t.room.heap.At(r))
}

// key is the key of an entry, in two parts. They are views.
func (t *table) key(e *entry) (prefix, rest string) {
	if e.isOther() {
		return "", unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(e), otherSize)), otherOf(e).key)
	}
	c := copyOf(e)
	if f := t.room.families.at(c.packed.family); f != nil {
		prefix = f.prefix
	}
	return prefix, c.packed.key(c)
}

// hasKey reports whether an entry is that of a key.
func (t *table) hasKey(e *entry, key string) bool {
	prefix, rest := t.key(e)
	at := len(prefix)
	return len(key) == at+len(rest) && key[at:] == rest && key[:at] == prefix
}

// hashOf is the hash of an entry's key. The caller holds mu.
func (t *table) hashOf(e *entry) uint64 {
	prefix, rest := t.key(e)
	t.scratch = append(append(t.scratch[:0], prefix...), rest...)
	return maphash.Bytes(t.seed, t.scratch)
}

// size is how long the block of an entry has to be.
func (e *entry) size() int {
	if e.isOther() {
		return int(otherSize) + int(otherOf(e).key)
	}
	c := copyOf(e)
	return int(entrySize) + c.packed.placesOf(c).end
}

// weight is what an entry takes. The caller holds mu.
func (t *table) weight(e *entry) int64 {
	n := int64(slab.Rounded(e.size())) + entryOverhead
	if e.isOther() {
		n += int64(t.shard(t.hashOf(e)).items[otherOf(e).item].cost())
	}
	return n
}

// find is the entry of a key; nil: there is none. The caller holds the lock of the shard, or the table's.
func (t *table) find(s *shard, h uint64, key string) *entry {
	if len(s.buckets) == 0 {
		return nil
	}
	for e := t.at(s.buckets[uint32(h)&uint32(len(s.buckets)-1)]); e != nil; e = t.at(e.next) {
		if e.hash == uint32(h) && t.hasKey(e, key) {
			return e
		}
	}
	return nil
}

func (s *shard) itemOf(e *entry) Item {
	if e.isOther() {
		return s.items[otherOf(e).item]
	}
	return copyOf(e)
}

// take gives the item of a key, with a reference to it, and counts a read.
func (t *table) take(key string) (Item, bool) {
	h := t.hash(key)
	s := t.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := t.find(s, h, key)
	if e == nil {
		return nil, false
	}
	e.read()
	item := s.itemOf(e)
	counted(item).Hold()
	return item, true
}

// peek calls look, with the lock of the shard held, with the item of a key, if there is one. look must not call the table.
func (t *table) peek(key string, look func(Item)) {
	h := t.hash(key)
	s := t.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := t.find(s, h, key); e != nil {
		look(s.itemOf(e))
	}
}

// update replaces the item of a key by the result of f; see Memory.update. If f returns nil, the item is removed. update returns the result of f if it was
// stored; nil: nothing was stored, or the item stayed as it was.
func (t *table) update(key string, f func(Item) Item) (stored Item) {
	h := t.hash(key)
	s := t.shard(h)
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.find(s, h, key)
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
		queue, reads = e.queue(), e.reads()
	}
	var made *entry
	if next != nil {
		made = t.enter(h, s, key, next)
	}
	// Both in one step, so that readers find either the old item or the new one.
	s.mu.Lock()
	if e != nil {
		t.unlink(s, e)
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
	made.setQueue(queue)
	made.setReads(reads)
	t.push(queue, made, t.weight(made))
	t.makeRoom(made)
	t.compact()
	return next
}

// enter makes the block of an item; nil: there is no memory for it, or it does not fit into the table. The caller holds mu.
func (t *table) enter(h uint64, s *shard, key string, item Item) *entry {
	c, isCopy := item.(*Copy)
	if !isCopy {
		block, ok := t.room.heap.Alloc(int(otherSize) + len(key))
		if !ok {
			return nil
		}
		o := (*other)(block.At)
		*o = other{entry: entry{self: block.Ref, hash: uint32(h)}, item: t.place(s, item), key: uint32(len(key))}
		o.mark(isOther, isOther)
		copy(unsafe.Slice((*byte)(unsafe.Add(block.At, otherSize)), len(key)), key)
		counted(item).Hold()
		return &o.entry
	}
	c.number()
	vary, ok := t.room.lists.take(c.Vary())
	if !ok {
		return nil
	}
	p := t.packing(key, c, vary)
	give := func() {
		t.room.lists.give(vary)
		t.room.families.give(p.family)
	}
	size := p.size()
	if int64(slab.Rounded(size))+entryOverhead > t.limit.Load() || len(p.names) != int(p.packed.names) {
		give()
		return nil
	}
	block, ok := t.room.heap.Alloc(size)
	if !ok {
		give()
		return nil
	}
	at := (*cell)(block.At)
	at.entry = entry{self: block.Ref, hash: uint32(h)}
	n := p.pack(at)
	tellMade(n, nil)
	return &at.entry
}

// packing works out the block of a copy under a key, and adds a use of its family. The caller holds mu until the block is filled.
func (t *table) packing(key string, c *Copy, vary uint16) packing {
	family, own, shares := t.room.families.take(key, c.Members())
	p := packing{from: c, key: key, names: own}
	if f := t.room.families.at(family); f != nil {
		p.key = key[len(f.prefix):]
	}
	p.packed, p.wide = packingOf(c, len(p.key))
	p.packed.names, p.vary, p.family, p.room = uint16(len(p.names)), vary, family, t.room.number
	if shares {
		p.flags |= flagShares
	}
	return p
}

// place stores an item in the shard's items, and returns its index.
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
	e.next, *bucket = *bucket, e.self
	s.entries++
	t.entries.Add(1)
}

// grow doubles the buckets of a shard. Since there are many shards, each has few entries, and growing does not take long. The caller holds the lock of
// the shard.
func (t *table) grow(s *shard) {
	n := max(leastBuckets, 2*len(s.buckets))
	block, ok := t.index.Alloc(refSize * n)
	if !ok {
		if len(s.buckets) == 0 {
			panic("store: the system has no memory for the table of copies")
		}
		return // without memory for more buckets, the present ones get longer
	}
	buckets := unsafe.Slice((*slab.Ref)(block.At), n)
	clear(buckets)
	for _, first := range s.buckets {
		for e := t.at(first); e != nil; {
			next, bucket := t.at(e.next), &buckets[e.hash&uint32(n-1)]
			e.next, *bucket = *bucket, e.self
			e = next
		}
	}
	if len(s.buckets) > 0 {
		t.index.Free(s.block)
	}
	s.buckets, s.block = buckets, block.Ref
}

// refSize is what a place in a bucket takes.
const refSize = int(unsafe.Sizeof(slab.Ref(0)))

// leadingTo returns the link in the entry's bucket that refers to it. The caller holds mu, or the lock of the shard.
func (t *table) leadingTo(s *shard, e *entry) *slab.Ref {
	link := &s.buckets[e.hash&uint32(len(s.buckets)-1)]
	for *link != e.self {
		link = &t.at(*link).next
	}
	return link
}

// unlink takes an entry out of its bucket. The caller holds the lock of the shard.
func (t *table) unlink(s *shard, e *entry) {
	*t.leadingTo(s, e) = e.next
	e.next = 0
	s.entries--
}

// remove takes an entry out of the table. The caller holds mu.
func (t *table) remove(h uint64, e *entry) {
	s := t.shard(h)
	s.mu.Lock()
	t.unlink(s, e)
	s.mu.Unlock()
	t.left(h, s, e)
}

// left releases an entry that was unlinked, so that no reader finds it any more. The caller holds mu.
func (t *table) left(h uint64, s *shard, e *entry) {
	t.drop(e, t.weight(e))
	t.entries.Add(-1)
	if !e.isOther() {
		e.setQueue(nowhere)
		copyOf(e).Release()
		return
	}
	o := otherOf(e)
	s.mu.Lock()
	item := s.items[o.item]
	s.items[o.item] = nil
	s.unused = append(s.unused, o.item)
	s.mu.Unlock()
	t.others.Add(-int64(item.cost()))
	counted(item).Release()
	e.setQueue(nowhere)
	t.room.heap.Free(e.self)
}

// close evicts everything. The table must not be used afterwards.
func (t *table) close() {
	t.fit(0)
	t.room.closed.Store(true)
	t.room.forget()
}

// fit sets the limit, and evicts what is beyond it.
func (t *table) fit(limit int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit.Store(limit)
	t.makeRoom(nil)
	t.compact()
}
