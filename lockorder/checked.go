//go:build lockorder

package lockorder

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// Mutex is a sync.Mutex of a class that panics where it is taken out of order. The zero value is unlocked.
type Mutex[C Class] struct {
	mu sync.Mutex
	by uint64 // the goroutine that has locked mu; guarded by mu
}

func (m *Mutex[C]) Lock() {
	g := take[C]()
	m.mu.Lock()
	m.by = g
}

// TryLock never waits, and so may come in any order.
func (m *Mutex[C]) TryLock() bool {
	if !m.mu.TryLock() {
		return false
	}
	m.by = goroutine()
	locks.push(m.by, rankOf[C]())
	return true
}

// Unlock may be called by another goroutine than the one that has locked.
func (m *Mutex[C]) Unlock() {
	g := m.by
	m.mu.Unlock()
	locks.pop(g, rankOf[C]())
}

// RWMutex is a sync.RWMutex of a class that panics where it is taken out of order. The zero value is unlocked. A goroutine that
// holds it for reading may not take it for reading again: between the two a writer may have come, for which the second waits, and
// which waits for the first.
type RWMutex[C Class] struct {
	mu sync.RWMutex
	by uint64 // the goroutine that has locked mu for writing; guarded by mu
}

func (m *RWMutex[C]) Lock() {
	g := take[C]()
	m.mu.Lock()
	m.by = g
}

func (m *RWMutex[C]) Unlock() {
	g := m.by
	m.mu.Unlock()
	locks.pop(g, rankOf[C]())
}

func (m *RWMutex[C]) RLock() {
	take[C]()
	m.mu.RLock()
}

// RUnlock must be called by the goroutine that has called RLock.
func (m *RWMutex[C]) RUnlock() {
	m.mu.RUnlock()
	locks.pop(goroutine(), rankOf[C]())
}

// take notes that the present goroutine is about to wait for a lock, and panics where the order forbids it.
func take[C Class]() (goroutineID uint64) {
	g, rank := goroutine(), rankOf[C]()
	if held, bad := locks.firstFrom(g, rank); bad {
		panic(fmt.Sprintf("lock of class %T is taken under a lock of class %T, which has to be taken after it: see docs/architecture.md, order of locks", order[rank], order[held]))
	}
	locks.push(g, rank)
	return g
}

// heldLocks are the ranks of the locks that each goroutine holds or waits for.
type heldLocks struct {
	mu   sync.Mutex
	held map[uint64][]int // by goroutine; guarded by mu
}

var locks = heldLocks{held: map[uint64][]int{}}

// firstFrom is a lock that the goroutine holds which may not be held when one of this rank is taken.
func (h *heldLocks) firstFrom(g uint64, rank int) (held int, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, held := range h.held[g] {
		if held >= rank {
			return held, true
		}
	}
	return 0, false
}

func (h *heldLocks) push(g uint64, rank int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[g] = append(h.held[g], rank)
}

func (h *heldLocks) pop(g uint64, rank int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.held[g]
	i := slices.Index(held, rank)
	if i < 0 {
		panic(fmt.Sprintf("lock of class %T is unlocked by a goroutine that has not locked it", order[rank]))
	}
	if held = slices.Delete(held, i, i+1); len(held) == 0 {
		delete(h.held, g)
		return
	}
	h.held[g] = held
}

var ranks = func() map[reflect.Type]int {
	ranks := map[reflect.Type]int{}
	for rank, c := range order {
		ranks[reflect.TypeOf(c)] = rank
	}
	return ranks
}()

func rankOf[C Class]() int {
	rank, known := ranks[reflect.TypeFor[C]()]
	if !known {
		panic(fmt.Sprintf("class %v has no place in the order of locks", reflect.TypeFor[C]()))
	}
	return rank
}

// goroutine is the number of the present goroutine, which Go tells only in the text of a stack trace.
func goroutine() uint64 {
	var buffer [64]byte
	text := buffer[:runtime.Stack(buffer[:], false)]
	text = bytes.TrimPrefix(text, []byte("goroutine "))
	number, _, _ := bytes.Cut(text, []byte(" "))
	g, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		panic("stack trace does not begin with the number of the goroutine: " + string(text))
	}
	return g
}
