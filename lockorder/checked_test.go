//go:build lockorder

package lockorder

import (
	"sync"
	"testing"
)

// panics reports whether f does, and leaves no lock noted as held.
func panics(f func()) (panicked bool) {
	defer func() {
		panicked = recover() != nil
		g := goroutine()
		held := tableOf(g)
		held.mu.Lock()
		defer held.mu.Unlock()
		delete(held.held, g)
	}()
	f()
	return false
}

// briefly takes a lock and gives it back.
func briefly(l sync.Locker) {
	l.Lock()
	defer l.Unlock()
}

// rlocker takes a lock for reading.
type rlocker struct{ mu *RWMutex[Follower] }

func (r rlocker) Lock()   { r.mu.RLock() }
func (r rlocker) Unlock() { r.mu.RUnlock() }

func TestOrder(t *testing.T) {
	type mutexes struct {
		confirmations Mutex[Confirmations]
		follower      RWMutex[Follower]
		shards        [2]RWMutex[LedgerShard]
	}
	for _, c := range []struct {
		name string
		do   func(m *mutexes)
		want bool
	}{
		{"in order", func(m *mutexes) { m.confirmations.Lock(); m.follower.RLock(); m.shards[0].Lock() }, false},
		{"one after another", func(m *mutexes) { briefly(&m.follower); m.confirmations.Lock() }, false},
		{"one after another, for reading", func(m *mutexes) { briefly(rlocker{&m.follower}); m.confirmations.Lock() }, false},
		{"an inner lock is given back first", func(m *mutexes) {
			m.confirmations.Lock()
			briefly(&m.shards[0])
			m.follower.Lock()
		}, false},
		{"by another goroutine", func(m *mutexes) {
			m.follower.Lock()
			done := make(chan struct{})
			// It gives the lock back: a goroutine that ends with one leaves it to whichever has its address next.
			go func() { defer close(done); briefly(&m.confirmations) }()
			<-done
		}, false},
		{"given back by another goroutine", func(m *mutexes) {
			m.follower.Lock()
			done := make(chan struct{})
			go func() { defer close(done); m.follower.Unlock() }()
			<-done
			m.confirmations.Lock()
		}, false},
		{"without waiting", func(m *mutexes) { m.follower.Lock(); m.confirmations.TryLock() }, false},
		{"the wrong way round", func(m *mutexes) { m.follower.Lock(); m.confirmations.Lock() }, true},
		{"the wrong way round, for reading", func(m *mutexes) { m.shards[0].RLock(); m.follower.RLock() }, true},
		{"the wrong way round with one between", func(m *mutexes) { m.confirmations.Lock(); m.shards[0].Lock(); m.follower.Lock() }, true},
		{"after one that did not wait", func(m *mutexes) {
			m.follower.Lock()
			m.confirmations.TryLock()
			m.confirmations.Unlock()
			m.confirmations.Lock()
		}, true},
		{"two of a class", func(m *mutexes) { m.shards[0].RLock(); m.shards[1].RLock() }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := panics(func() { c.do(new(mutexes)) }); got != c.want {
				t.Errorf("panics: %v, want %v", got, c.want)
			}
		})
	}
}
