package store

import (
	"math"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// Memory is the tier in this process: bounded in bytes, counting keys, heads, bodies and what the cache itself needs. It
// evicts by W-TinyLFU, so that a flood of URLs asked for once leaves the hot set in place. It is safe for concurrent use.
type Memory struct {
	cache     *otter.Cache[string, Item]
	maximum   atomic.Int64
	evictions atomic.Uint64
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
		OnDeletion: func(e otter.DeletionEvent[string, Item]) {
			if e.WasEvicted() {
				m.evictions.Add(1)
			}
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

// Get is the item stored under key. The key is not kept.
func (m *Memory) Get(key string) (Item, bool) { return m.cache.GetIfPresent(key) }

// Set stores an item.
func (m *Memory) Set(key string, item Item) { m.cache.Set(key, item) }

// update replaces the item under key by what f makes of it, atomically. f gets nil when there is none, must return an
// item and must not call the Memory.
func (m *Memory) update(key string, f func(Item) Item) {
	m.cache.Compute(key, func(old Item, _ bool) (Item, otter.ComputeOp) { return f(old), otter.WriteOp })
}

// Delete removes an item.
func (m *Memory) Delete(key string) { m.cache.Invalidate(key) }

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
