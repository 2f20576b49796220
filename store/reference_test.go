package store

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// ends counts the copies and bodies that have become free: those in Go's memory, and those that are packed.
type ends struct {
	mu     sync.Mutex
	live   map[*Copy]bool
	copies int
	bodies int
}

func watch(t *testing.T) *ends {
	t.Helper()
	e := &ends{live: map[*Copy]bool{}}
	Watch(func(c *Copy, body []byte) []byte {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.live[c] = true
		return body
	}, func(c *Copy, body []byte) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.live[c] {
			return // of another test, whose Memory is gone
		}
		delete(e.live, c)
		e.copies++
		if body != nil {
			e.bodies++
		}
	})
	t.Cleanup(func() { Watch(nil, nil) })
	return e
}

// want expects so many free copies and bodies. A copy that was made, stored and given back is free, and the packed one is not.
func (e *ends) want(t *testing.T, when string, copies, bodies int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.copies != copies || e.bodies != bodies {
		t.Errorf("%s: %d copies and %d bodies are free, want %d and %d", when, e.copies, e.bodies, copies, bodies)
	}
}

func panics(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return false
}

// A copy is free when it is stored nowhere and nobody has it, in whichever order these end.
func TestCopyIsFreeWithItsLastReference(t *testing.T) {
	e := watch(t)
	s := New(NewMemory(1 << 20))
	c := NewCopy(200, http.Header{}, []byte("body"))
	s.Put("key", nil, c)
	c.Release()
	e.want(t, "stored", 1, 1)
	found := s.Lookup("key", nil, time.Now())
	s.Drop("key", found.Copy)
	e.want(t, "dropped, and held by a reader", 1, 1)
	if body := string(found.Copy.Body()); body != "body" {
		t.Error(body)
	}
	found.Release()
	e.want(t, "given back", 2, 2)
	if !panics(found.Release) {
		t.Error("a reference is given back twice")
	}
	if !panics(func() { c.Hold() }) {
		t.Error("a copy is held that is free")
	}
	if c.Take() {
		t.Error("a copy is taken that is free")
	}
}

// Each way out of memory gives back the reference of the place.
func TestWhatLeavesMemoryIsGivenBack(t *testing.T) {
	later := newClock()
	put := func(s *Store, key string, h http.Header, vary ...string) {
		c := response(later.next(), "body", 0)
		c.SetVary(vary)
		s.Put(key, h, c)
		c.Release()
	}
	for name, leave := range map[string]func(s *Store){
		"deleted":            func(s *Store) { s.memory.Delete("key") },
		"replaced":           func(s *Store) { s.Mark("key", &Mark{}) },
		"evicted":            func(s *Store) { s.memory.Resize(0); s.memory.Settle() },
		"replaced by itself": func(s *Store) { s.memory.update("key", func(old Item) Item { return old }); s.memory.Delete("key") },
	} {
		e := watch(t)
		s := New(NewMemory(1 << 20))
		put(s, "key", nil)
		e.want(t, name+", before", 1, 1)
		leave(s)
		e.want(t, name, 2, 2)
	}
	e := watch(t)
	s := New(NewMemory(1 << 20))
	put(s, "key", headers("Accept-Language", "de"), "Accept-Language")
	put(s, "key", headers("Accept-Language", "en"), "Accept-Language")
	s.Lookup("key", headers("Accept-Language", "en"), time.Now()).Release()
	s.memory.Resize(0)
	s.memory.Settle()
	e.want(t, "variants", 4, 4)
}

// Copies of one body are free one by one, and the body with the last of them.
func TestBodyIsFreeWithItsLastCopy(t *testing.T) {
	e := watch(t)
	c := NewCopy(200, http.Header{}, []byte("body"))
	renewed := c.WithHeader(http.Header{"Etag": {`"2"`}})
	c.Release()
	e.want(t, "one of two, which has the body", 0, 0)
	if body := string(renewed.Body()); body != "body" {
		t.Error(body)
	}
	renewed.Release()
	e.want(t, "both", 2, 1)
}

// Readers that meet a copy on its way out have it whole, or another one, or none.
func TestReadersMeetWriters(t *testing.T) {
	e := watch(t)
	s, clock := New(NewMemory(1<<20)), newClock()
	const rounds = 2000
	first := response(clock.next(), "body", 0)
	s.Put("key", nil, first)
	first.Release()
	var all sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				found := s.Lookup("key", nil, time.Now())
				if found.Copy == nil {
					t.Error("a copy is there all the time, and is not found")
					return
				}
				e.mu.Lock()
				if !e.live[found.Copy] {
					t.Error("a copy is free that a reader has")
				}
				e.mu.Unlock()
				found.Release()
			}
		})
	}
	for range rounds {
		c := response(clock.next(), "body", 0)
		s.Put("key", nil, c)
		c.Release()
	}
	close(done)
	all.Wait()
	s.memory.Delete("key")
	e.want(t, "at the end", 2*(rounds+1), 2*(rounds+1))
}
