package store

import (
	"runtime"
	"slices"
	"sync/atomic"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Memory is the tier in this process: bounded in bytes, counting keys, heads, bodies and what the cache itself needs. It
// evicts by S3-FIFO, so that a flood of URLs asked for once leaves the hot set in place. It is safe for concurrent use.
type Memory struct {
	table   *table
	maximum *atomic.Int64
	seen    invalidation.Seen
	budget  Budget
}

// NewMemory makes an empty tier of at most maximum bytes, fills in flight included.
func NewMemory(maximum int64) *Memory {
	t, limit := newTable(maximum), new(atomic.Int64)
	limit.Store(maximum)
	m := &Memory{table: t, maximum: limit}
	m.budget = Budget{limit: maximum / fillShare, changed: func(reserved int64) {
		// After Resize, fills in flight may hold more than there is now.
		t.fit(max(0, limit.Load()-reserved))
	}}
	runtime.AddCleanup(m, func(t *table) { t.close() }, t)
	return m
}

// Resize changes the bytes that the tier may take. What is beyond them is evicted.
func (m *Memory) Resize(maximum int64) {
	m.maximum.Store(maximum)
	m.budget.resize(maximum / fillShare)
}

// peek calls look with the item stored under key, if there is one. look must keep no view of the item, and not call the Memory. The key is not kept.
func (m *Memory) peek(key string, look func(Item)) { m.table.peek(key, look) }

// variants returns the Variants under a key; nil: there is another item, or none.
func (m *Memory) variants(key string) (v *Variants) {
	m.peek(key, func(item Item) { v, _ = item.(*Variants) })
	return v
}

// Take returns the item stored under key, with a reference for the caller, and counts a read. The key is not kept.
func (m *Memory) Take(key string) (Item, bool) { return m.table.take(key) }

// Set stores an item. The caller must have a reference to it, and keeps it. Of a Copy, a packed copy is stored.
func (m *Memory) Set(key string, item Item) {
	m.table.update(key, func(Item) Item { return item })
}

// update replaces the item under key by what f makes of it, atomically. f gets nil when there is none, must return an
// item and must not call the Memory. The caller has a reference to what f returns, unless that is what was there.
func (m *Memory) update(key string, f func(Item) Item) {
	if c := counted(m.table.update(key, f)); c != nil {
		m.seen.Add(c.Members())
	}
}

// Seen reports whether a copy that was stored lately has carried a member; it may say so of one that none has.
func (m *Memory) Seen(member policy.Member) bool { return m.seen.Has(invalidation.IDOf(member)) }

// Delete removes an item.
func (m *Memory) Delete(key string) { m.table.update(key, func(Item) Item { return nil }) }

// deleteVariant removes the item under variant, and variant from the Variants under key.
func (m *Memory) deleteVariant(key, variant string) {
	m.table.update(key, func(old Item) Item {
		v, varies := old.(*Variants)
		if !varies {
			return old
		}
		left := slices.DeleteFunc(slices.Clone(v.Keys), func(k string) bool { return k == variant })
		if len(left) == 0 {
			return nil
		}
		return &Variants{Selections: v.Selections, Keys: left}
	})
	m.Delete(variant)
}

// deleteCopy removes what is stored under key if it is still c.
func (m *Memory) deleteCopy(key string, c *Copy) {
	m.table.update(key, func(old Item) Item {
		if o, ok := old.(*Copy); ok && o.same(c) {
			return nil
		}
		return old
	})
}

// Budget accounts for the fills in flight, which take their memory from the tier's.
func (m *Memory) Budget() *Budget { return &m.budget }

// Bytes is the memory that the items take, by the tier's own count, with fills in flight.
func (m *Memory) Bytes() int64 { return m.table.bytes() + m.budget.Reserved() }

// Entries is the number of items.
func (m *Memory) Entries() int { return int(m.table.entries.Load()) }

// Evictions is how many items had to make room since the start.
func (m *Memory) Evictions() uint64 { return m.table.evictions.Load() }

// Settle waits until pending evictions have been carried out.
func (m *Memory) Settle() { m.table.fit(m.table.limit.Load()) }
