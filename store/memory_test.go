package store

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// typical is a copy as an API answers: a dozen header lines, nine members.
func typical(size int) *Copy {
	c := NewCopy(200, http.Header{
		"Cache-Control": {"public, max-age=300"}, "Content-Length": {strconv.Itoa(size)},
		"Content-Type": {"application/json; charset=utf-8"}, "Date": {"Fri, 02 Jan 2026 03:04:05 GMT"},
		"Etag": {`"5d8c72a5edda8d6a"`}, "Vary": {"Accept-Encoding"}, "X-Content-Type-Options": {"nosniff"},
		"Strict-Transport-Security": {"max-age=31536000"}, "Via": {"1.1 origin"},
	}, make([]byte, size))
	c.SetMembers(make([]invalidation.ID, 9))
	return c
}

// plain is a copy with little header, which is quick to make.
func plain(size int) *Copy {
	return NewCopy(200, http.Header{"Content-Type": {"application/json"}}, make([]byte, size))
}

// keyOf has the length of a usual storage key.
func keyOf(i int) string { return fmt.Sprintf("fingerprnthttp api.example.org /v2/products/%010d", i) }

func fillUp(m *Memory, n, size int) {
	for i := range n {
		m.Set(keyOf(i), typical(size))
	}
	m.Settle()
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// What the tier counts must be what the process pays, or the limit that an operator sets means nothing.
func TestCostIsMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	for _, tc := range []struct {
		name  string
		n     int
		store func(m *Memory, i int)
	}{
		{"no body", 20_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(0)) }},
		{"100 B", 20_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(100)) }},
		{"1 KiB", 20_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(1<<10)) }},
		{"1.2 KB", 20_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(1200)) }},
		{"5000 B", 5_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(5000)) }},
		{"8 KiB", 5_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(8<<10)) }},
		{"60 KiB", 1_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(60<<10)) }},
		{"40 KB", 1_000, func(m *Memory, i int) { m.Set(keyOf(i), typical(40_000)) }},
		{"bare", 20_000, func(m *Memory, i int) { m.Set(keyOf(i), NewCopy(204, nil, nil)) }},
		{"marks", 20_000, func(m *Memory, i int) { m.Set(keyOf(i), new(Mark)) }},
		{"variants", 20_000, func(m *Memory, i int) {
			v, _ := (*Variants)(nil).with([]string{"Accept-Encoding"}, keyOf(i)+"1", "")
			v, _ = v.with([]string{"Accept-Encoding"}, keyOf(i)+"2", "")
			m.Set(keyOf(i), v)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := NewMemory(1 << 30)
			before := liveHeap()
			for i := range tc.n {
				tc.store(m, i)
			}
			m.Settle()
			heap, counted := liveHeap()-before+m.table.room.heap.Pages()+m.table.index.Pages(), m.Bytes()
			if m.Entries() != tc.n {
				t.Fatalf("%d items, want %d", m.Entries(), tc.n)
			}
			off := float64(counted)/float64(heap) - 1
			t.Logf("memory %d bytes an item, counted %d (%+.1f %%)", heap/int64(tc.n), counted/int64(tc.n), 100*off)
			if off < -0.05 || off > 0.25 {
				t.Errorf("counted is %+.1f %% off what is taken, want -5 %% to +25 %%", 100*off)
			}
			m.Resize(0) // and not when the collector finds time for it, in the midst of the next case
		})
	}
}

// seenFilters is what Memory.Seen takes, once, in bytes.
const seenFilters = 2 * 5 << 20 / 4

// A flood of URLs asked for once stays within the memory and leaves the hot set where it is.
func TestMillionURLs(t *testing.T) {
	const (
		maximum = 64 << 20
		hot     = 1000
	)
	n := 1_000_000
	if raceEnabled {
		n = 100_000
	}
	before := liveHeap()
	m := NewMemory(maximum)
	s := New(m)
	r := rand.New(rand.NewPCG(1, 2))
	read := func(i int) bool {
		key := "hot " + keyOf(i)
		if s.Lookup(key, nil, now).Copy != nil {
			return true
		}
		s.Put(key, nil, plain(1<<10))
		return false
	}
	reads, hits := 0, 0
	for i := range n {
		s.Put(keyOf(i), nil, plain(1<<10))
		if i%2 == 0 {
			hit := read(r.IntN(hot))
			if i > 20*hot { // once each was asked for several times
				reads++
				if hit {
					hits++
				}
			}
		}
	}
	m.Settle()
	if m.Bytes() > maximum {
		t.Errorf("the tier counts %d bytes, more than %d", m.Bytes(), maximum)
	}
	var stats runtime.MemStats
	heap := liveHeap() - before + m.table.room.heap.Pages() + m.table.index.Pages()
	runtime.ReadMemStats(&stats)
	t.Logf("memory %.1f MiB (spans in use %.1f MiB), counted %.1f MiB, %d items, %d evictions, hot set %.2f %% of %d reads",
		float64(heap)/(1<<20), float64(stats.HeapInuse)/(1<<20), float64(m.Bytes())/(1<<20), m.Entries(), m.Evictions(),
		100*float64(hits)/float64(reads), reads)
	if !raceEnabled && heap > maximum*17/16+slack+seenFilters {
		t.Errorf("%d bytes are taken, more than %d", heap, maximum)
	}
	if hits*100 < reads*95 {
		t.Errorf("%d of %d reads of the hot set hit, want 95 %%", hits, reads)
	}
	if m.Entries() < maximum/4096 || m.Evictions() == 0 {
		t.Errorf("%d items after %d evictions: the memory is not used", m.Entries(), m.Evictions())
	}
	runtime.KeepAlive(m)
}

func TestMemoryOperations(t *testing.T) {
	m := NewMemory(1 << 20)
	a, b := typical(1), typical(2)
	has := func(want *Copy) bool {
		item, _ := m.Take("key")
		c, _ := item.(*Copy)
		defer c.Release()
		return c.same(want)
	}
	m.update("key", func(old Item) Item {
		if old != nil {
			t.Errorf("update of nothing gets %v", old)
		}
		return a
	})
	m.deleteCopy("key", b)
	if !has(a) {
		t.Error("deleteCopy of another copy removed this one")
	}
	m.update("key", func(old Item) Item {
		if !old.(*Copy).same(a) {
			t.Errorf("update gets %v, want the copy", old)
		}
		return b
	})
	m.deleteCopy("key", b)
	m.deleteCopy("key", b)
	if !has(nil) {
		t.Error("deleteCopy left the copy")
	}
	m.Set("key", a)
	m.Delete("key")
	m.Settle()
	if !has(nil) || m.Bytes() != 0 || m.Entries() != 0 || m.Evictions() != 0 {
		t.Errorf("%d bytes, %d items, %d evictions after a delete", m.Bytes(), m.Entries(), m.Evictions())
	}
	m.Set("key", typical(2<<20))
	m.Settle()
	if !has(nil) || m.Bytes() > 1<<20 {
		t.Error("an item larger than the memory was kept")
	}
}

func BenchmarkLookup(b *testing.B) {
	s := New(NewMemory(64 << 20))
	key := keyOf(1)
	s.Put(key, nil, typical(1<<10))
	b.ReportAllocs()
	for b.Loop() {
		if s.Lookup(key, nil, now).Copy == nil {
			b.Fatal("no copy")
		}
	}
}

func BenchmarkPut(b *testing.B) {
	s := New(NewMemory(64 << 20))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Put(keyOf(i), nil, typical(1<<10))
	}
}

// What a copy carries is seen from when it is stored, also after it is gone.
func TestSeen(t *testing.T) {
	s := New(NewMemory(1 << 20))
	c := NewCopy(200, http.Header{}, []byte("x"))
	defer c.Release()
	c.SetMembers(invalidation.IDsOf([]policy.Member{"tshelf", "qhost/a"}))
	if s.Memory().Seen("tshelf") {
		t.Error("seen before it was stored")
	}
	s.Put("key", http.Header{}, c)
	s.Memory().Delete("key")
	for member, want := range map[policy.Member]bool{"tshelf": true, "qhost/a": true, "tself": false, "kshelf": false} {
		if got := s.Memory().Seen(member); got != want {
			t.Errorf("%s: seen %v", member, got)
		}
	}
}
