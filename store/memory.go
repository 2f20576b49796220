package store

import (
	"math"
	"runtime"
	"slices"
	"sync/atomic"

	"cacheproxy/invalidation"
	"cacheproxy/policy"

	"github.com/maypok86/otter/v2"
)

// Memory is the tier in this process: bounded in bytes, counting keys, heads, bodies and what the cache itself needs. It
// evicts by W-TinyLFU, so that a flood of URLs asked for once leaves the hot set in place. It is safe for concurrent use.
type Memory struct {
	cache     *otter.Cache[string, Item]
	maximum   atomic.Int64
	evictions atomic.Uint64
	seen      invalidation.Seen
	budget    Budget
}

// NewMemory makes an empty tier of at most maximum bytes, fills in flight included.
func NewMemory(maximum int64) *Memory {
	m := &Memory{}
	m.maximum.Store(maximum)
	m.cache = otter.Must(&otter.Options[string, Item]{
		MaximumWeight: uint64(maximum),
		Weigher: func(key string, item Item) uint32 {
			return uint32(min(uint64(len(key)+item.cost()), math.MaxUint32))
		},
		// It is called for whatever leaves its place: evicted, deleted, or replaced, by itself too. The atomic one is called before
		// others see the change, so that what has left is free when Delete or Update return.
		OnAtomicDeletion: func(e otter.DeletionEvent[string, Item]) {
			if e.WasEvicted() {
				m.evictions.Add(1)
			}
			counted(e.Value).Release()
		},
	})
	m.budget = Budget{limit: maximum / fillShare, changed: func(reserved int64) {
		// After Resize, fills in flight may hold more than there is now.
		m.cache.SetMaximum(uint64(max(0, m.maximum.Load()-reserved)))
	}}
	return m
}

// Resize changes the bytes that the tier may take. What is beyond them is evicted.
func (m *Memory) Resize(maximum int64) {
	m.maximum.Store(maximum)
	m.budget.resize(maximum / fillShare)
}

// Get is the item stored under key, to which the caller has no reference. The key is not kept.
func (m *Memory) Get(key string) (Item, bool) { return m.cache.GetIfPresent(key) }

// Take is the item stored under key, and a reference to it for the caller. The key is not kept.
func (m *Memory) Take(key string) (Item, bool) {
	for {
		item, ok := m.cache.GetIfPresent(key)
		if !ok {
			return nil, false
		}
		if c := counted(item); c == nil || c.Take() {
			return item, true
		}
		runtime.Gosched() // the item is on its way out of the table, and gave its reference back just before
	}
}

// Set stores an item, to which the caller has a reference. The place where it is stored has one more.
func (m *Memory) Set(key string, item Item) {
	counted(item).Hold()
	m.cache.Set(key, item)
}

// update replaces the item under key by what f makes of it, atomically. f gets nil when there is none, must return an
// item and must not call the Memory. The caller has a reference to what f returns, unless that is what was there.
func (m *Memory) update(key string, f func(Item) Item) {
	var stored *Copy // nil: what was there has stayed
	m.cache.Compute(key, func(old Item, _ bool) (Item, otter.ComputeOp) {
		next := f(old)
		if stored = counted(next); next == old {
			stored = nil
		}
		counted(next).Hold()
		return next, otter.WriteOp
	})
	if stored != nil {
		m.seen.Add(stored.Members)
	}
}

// Seen reports whether a copy that was stored lately has carried a member; it may say so of one that none has.
func (m *Memory) Seen(member policy.Member) bool { return m.seen.Has(invalidation.IDOf(member)) }

// Delete removes an item.
func (m *Memory) Delete(key string) { m.cache.Invalidate(key) }

// deleteVariant removes what is stored under variant, and that from the list under key.
func (m *Memory) deleteVariant(key, variant string) {
	m.cache.ComputeIfPresent(key, func(old Item) (Item, otter.ComputeOp) {
		v, varies := old.(*Variants)
		if !varies {
			return old, otter.CancelOp
		}
		left := slices.DeleteFunc(slices.Clone(v.Keys), func(k string) bool { return k == variant })
		if len(left) == 0 {
			return nil, otter.InvalidateOp
		}
		return &Variants{Selections: v.Selections, Keys: left}, otter.WriteOp
	})
	m.Delete(variant)
}

// deleteCopy removes what is stored under key if it is still c.
func (m *Memory) deleteCopy(key string, c *Copy) {
	m.cache.ComputeIfPresent(key, func(old Item) (Item, otter.ComputeOp) {
		if old == Item(c) {
			return nil, otter.InvalidateOp
		}
		return old, otter.CancelOp
	})
}

// Budget accounts for the fills in flight, which take their memory from the tier's.
func (m *Memory) Budget() *Budget { return &m.budget }

// Bytes is the memory that the items take, by the tier's own count, with fills in flight.
func (m *Memory) Bytes() int64 { return int64(m.cache.WeightedSize()) + m.budget.Reserved() }

// Entries is the number of items.
func (m *Memory) Entries() int { return m.cache.EstimatedSize() }

// Evictions is how many items had to make room since the start.
func (m *Memory) Evictions() uint64 { return m.evictions.Load() }

// Settle waits until pending evictions have been carried out.
func (m *Memory) Settle() { m.cache.CleanUp() }
