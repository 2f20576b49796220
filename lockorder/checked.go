//go:build lockorder

package lockorder

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// Mutex is a sync.Mutex of a class. Lock panics where the order forbids it. The zero value is unlocked.
type Mutex[C Class] struct {
	mu sync.Mutex
	by uintptr // the goroutine that has locked mu; guarded by mu
}

func (m *Mutex[C]) Lock() {
	g := take[C]()
	m.mu.Lock()
	m.by = g
}

// TryLock never waits, and so may be called in any order.
func (m *Mutex[C]) TryLock() bool {
	if !m.mu.TryLock() {
		return false
	}
	m.by = goroutine()
	note(m.by, rankOf[C]())
	return true
}

// Unlock may be called by another goroutine than the one that has locked. The locking goroutine must not have ended:
// a later goroutine at the same address would count as holder of the lock.
func (m *Mutex[C]) Unlock() {
	g := m.by
	m.mu.Unlock()
	release(g, rankOf[C]())
}

// RWMutex is a sync.RWMutex of a class. Lock and RLock panic where the order forbids them. The zero value is
// unlocked. A goroutine that holds a lock for reading must not take the same lock for reading again: a writer that
// comes between the two waits for the first read lock, and the second read lock waits for the writer.
type RWMutex[C Class] struct {
	mu sync.RWMutex
	by uintptr // the goroutine that has locked mu for writing; guarded by mu
}

func (m *RWMutex[C]) Lock() {
	g := take[C]()
	m.mu.Lock()
	m.by = g
}

func (m *RWMutex[C]) Unlock() {
	g := m.by
	m.mu.Unlock()
	release(g, rankOf[C]())
}

func (m *RWMutex[C]) RLock() {
	take[C]()
	m.mu.RLock()
}

// RUnlock must be called by the goroutine that has called RLock.
func (m *RWMutex[C]) RUnlock() {
	m.mu.RUnlock()
	release(goroutine(), rankOf[C]())
}

// take notes that the present goroutine is about to wait for a lock, and panics where the order forbids the lock.
func take[C Class]() (g uintptr) {
	g, rank := goroutine(), rankOf[C]()
	if held, bad := tableOf(g).take(g, rank); bad {
		panic(fmt.Sprintf("lock of class %T is taken under a lock of class %T, which has to be taken after it: see docs/architecture.md, order of locks", order[rank], order[held]))
	}
	return g
}

// note adds a lock that TryLock has taken without waiting.
func note(g uintptr, rank int) {
	t := tableOf(g)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(g, rank)
}

func release(g uintptr, rank int) {
	if !tableOf(g).release(g, rank) {
		panic(fmt.Sprintf("lock of class %T is unlocked by a goroutine that has not locked it", order[rank]))
	}
}

// table holds the ranks of the locks that some of the goroutines hold or wait for. There are several tables, so that
// goroutines seldom wait for each other here.
type table struct {
	mu   sync.Mutex
	held map[uintptr][]int // by goroutine; guarded by mu. A goroutine without locks keeps an empty slice for reuse
}

var tables [64]table

func tableOf(g uintptr) *table { return &tables[g>>8%uintptr(len(tables))] }

// take adds a lock, unless the goroutine holds a lock under which the order forbids waiting for this one. Then take
// returns the rank of the held lock.
func (t *table) take(g uintptr, rank int) (held int, bad bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, held := range t.held[g] {
		if held >= rank {
			return held, true
		}
	}
	t.add(g, rank)
	return 0, false
}

// add adds a lock. The caller holds mu.
func (t *table) add(g uintptr, rank int) {
	if t.held == nil {
		t.held = map[uintptr][]int{}
	}
	t.held[g] = append(t.held[g], rank)
}

func (t *table) release(g uintptr, rank int) (found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.held[g]
	i := slices.Index(all, rank)
	if i < 0 {
		return false
	}
	t.held[g] = slices.Delete(all, i, i+1)
	return true
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
