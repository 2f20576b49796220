package store

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store/slab"
)

// all yields the entries of a table, in the order in which they may have to go.
func (t *table) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := range t.queues {
			for e := t.at(t.queues[i].last); e != nil; e = t.at(e.newer) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// text is the key of an entry.
func (t *table) text(e *entry) string {
	prefix, rest := t.key(e)
	return prefix + rest
}

// check holds the table to its invariant, while nobody changes it. held is the blocks of copies that have left and that somebody has.
func (t *table) check(test *testing.T, held int64) {
	test.Helper()
	entries, bytes, others := int64(0), held, int64(0)
	var queued [queues]int64
	for e := range t.all() {
		key := t.text(e)
		h := t.hash(key)
		s := t.shard(h)
		if t.find(s, h, key) != e || h != t.hashOf(e) {
			test.Fatalf("%q is queued, and not found", key)
		}
		if c := counted(s.itemOf(e)); c != nil && c.Use.references.Load() < 1 {
			test.Fatalf("%q is stored without a reference", key)
		}
		entries++
		bytes += int64(slab.Rounded(e.size())) + entryOverhead
		if e.isOther() {
			others += int64(s.items[otherOf(e).item].cost())
		}
		queued[e.queue()] += t.weight(e)
	}
	linked := 0
	for i := range t.shards {
		for _, first := range t.shards[i].buckets {
			for e := t.at(first); e != nil; e = t.at(e.next) {
				linked++
			}
		}
	}
	if entries != t.entries.Load() || int64(linked) != entries || others != t.others.Load() || bytes+others != t.bytes() {
		test.Fatalf("%d entries, of which %d are found, with %d and %d bytes; counted are %d with %d, of which %d Go's", entries, linked, bytes, others, t.entries.Load(), t.bytes(), t.others.Load())
	}
	for i, q := range t.queues {
		if q.bytes != queued[i] {
			test.Fatalf("%d bytes are in queue %d, counted are %d", queued[i], i, q.bytes)
		}
	}
	if t.bytes() > t.limit.Load()+held {
		test.Fatalf("%d bytes, of which %d cannot be let go of, and the limit is %d", t.bytes(), held, t.limit.Load())
	}
}

// fresh is a copy of a size that says what key it is for.
func fresh(key string, size int) *Copy {
	c := NewCopy(200, http.Header{"Etag": {`"` + key + `"`}}, bytes.Repeat([]byte{key[0]}, size))
	c.SetMembers(freshMembers(key, size))
	return c
}

// freshMembers are two names of its own, and prefixes that some others have as well, of which not all are of one family.
func freshMembers(key string, size int) []invalidation.ID {
	const prefix = 8 << 60
	return []invalidation.ID{invalidation.ID(len(key)), invalidation.ID(size), prefix, prefix + 1 + invalidation.ID(len(key)%5), prefix + 10 + invalidation.ID(key[0])}
}

// wantFresh holds a copy to what fresh has made of it.
func wantFresh(t *testing.T, key string, c *Copy) {
	t.Helper()
	if c.Get("Etag") != `"`+key+`"` || len(bytes.Trim(c.Body(), key[:1])) > 0 || !slices.Equal(c.Members(), freshMembers(key, len(c.Body()))) {
		t.Fatalf("%q has %q with %d bytes and members %v", key, c.Head(), len(c.Body()), c.Members())
	}
}

// Whatever is stored, replaced, read, held, let go of and moved in whatever order: what is counted is what is held, and every copy is
// what was stored as long as somebody has it.
func TestCountedIsHeld(t *testing.T) {
	watch(t) // what is free is overwritten
	r := rand.New(rand.NewPCG(1, 2))
	m := NewMemory(4 << 20)
	m.table.slack = -4 << 20 // as much is moved as can be
	type holding struct {
		key string
		c   *Copy
	}
	var holds []holding
	size := func() int { return r.IntN(1 << (4 + r.IntN(14))) }
	rounds := 30_000
	if raceEnabled {
		rounds = 3_000
	}
	for round := range rounds {
		key := fmt.Sprint(string(rune('a'+r.IntN(26))), strings.Repeat("kkk/", r.IntN(10)), r.IntN(2000))
		switch r.IntN(12) {
		case 0:
			m.Delete(key)
		case 1:
			m.Set(key, &Mark{Members: make([]invalidation.ID, r.IntN(9))})
		case 2:
			m.Resize(int64(1+r.IntN(8)) << 20)
		case 3, 4:
			if item, ok := m.Take(key); ok {
				if c := counted(item); c != nil {
					holds = append(holds, holding{key, c})
				}
			}
		default:
			c := fresh(key, size())
			m.Set(key, c)
			c.Release()
		}
		for len(holds) > r.IntN(50) {
			i := r.IntN(len(holds))
			wantFresh(t, holds[i].key, holds[i].c)
			holds[i].c.Release()
			holds = append(holds[:i], holds[i+1:]...)
		}
		if round%100 == 0 {
			left := map[*Copy]int64{}
			for _, h := range holds {
				wantFresh(t, h.key, h.c)
				if e := entryOf(h.c); e.queue() == nowhere {
					left[h.c] = int64(slab.Rounded(e.size()))
				}
			}
			held := int64(0)
			for _, n := range left {
				held += n
			}
			m.table.check(t, held)
			for e := range m.table.all() {
				if !e.isOther() {
					wantFresh(t, m.table.text(e), copyOf(e))
				}
			}
		}
	}
	for _, h := range holds {
		h.c.Release()
	}
	m.Resize(0)
	m.table.check(t, 0)
	if m.Bytes() != 0 || m.table.room.heap.Pages() != 0 {
		t.Errorf("%d bytes are counted and %d taken when all is gone", m.Bytes(), m.table.room.heap.Pages())
	}
}

// Whatever sizes come after which others, the memory that is taken stays near what may be: what is thinly used is moved together.
func TestPagesStayNearTheLimit(t *testing.T) {
	maximum := int64(64 << 20)
	if raceEnabled { // which is fifteen times as slow here, where nothing is done by two goroutines
		maximum = 16 << 20
	}
	m := NewMemory(maximum)
	defer runtime.KeepAlive(m)     // else its table is closed while it is checked
	hot := make([]string, 0, 1000) // stays, all over the pages that were used first
	for _, size := range []int{500, 3000, 700, 12_000, 1500, 100_000, 300} {
		for i := range 2 * int(maximum) / (size + 400) {
			c := fresh(fmt.Sprint("k", size, " ", i), size+i%300)
			key := fmt.Sprint("k", size, " ", i)
			m.Set(key, c)
			c.Release()
			if i%40 == 0 && len(hot) < cap(hot) {
				hot = append(hot, key)
			}
			if i%5 == 0 && len(hot) > 0 {
				if item, ok := m.Take(hot[i/5%len(hot)]); ok {
					item.(*Copy).Release()
				}
			}
			if over := m.table.room.heap.Pages() - m.table.room.heap.Used(); i%1000 == 0 && over > maximum/8+2*slack {
				t.Fatalf("%d bytes of pages are not used, after %d of %d bytes", over, i, size)
			}
		}
		heap := &m.table.room.heap
		t.Logf("%d bytes: %d MiB used, %d MiB taken", size, heap.Used()>>20, heap.Pages()>>20)
		if heap.Pages() > maximum*17/16+3*slack/2 || m.Bytes() < maximum*9/10 {
			t.Errorf("%d bytes are taken, and %d used, of %d", heap.Pages(), m.Bytes(), maximum)
		}
	}
	m.table.check(t, 0)
}

// However many sizes there are in however little memory, what is taken is what the limits say.
func TestPagesOfManySizes(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and many copies: test/norace runs it")
	}
	for _, maximum := range []int64{8 << 20, 32 << 20} {
		m := NewMemory(maximum)
		r := rand.New(rand.NewPCG(1, 2))
		most := int64(0)
		for i := range int(maximum >> 9) {
			key := fmt.Sprint("k", i)
			c := fresh(key, min(int(math.Exp(7+1.2*r.NormFloat64())), 60_000)) // 1.1 KB in the middle, one of twenty above 8 KB
			m.Set(key, c)
			c.Release()
			if item, ok := m.Take(fmt.Sprint("k", i-r.IntN(1+min(i, 3000)))); ok {
				item.(*Copy).Release()
			}
			if i%100 == 0 {
				most = max(most, m.table.room.heap.Pages())
			}
		}
		if t.Logf("%d MiB may be used, %.1f MiB are taken at most", maximum>>20, float64(most)/(1<<20)); most > maximum+maximum/16+slack+1<<20 {
			t.Errorf("%d bytes are taken at most, of %d", most, maximum)
		}
		runtime.KeepAlive(m)
	}
}

// What clients hold is in the budget: others make room for it, and it is there until they are done.
func TestHeldCopiesCount(t *testing.T) {
	watch(t)
	m := NewMemory(4 << 20)
	defer runtime.KeepAlive(m) // else its table is closed while it is checked
	var held []*Copy
	for i := range 1000 {
		key := fmt.Sprint("k", i)
		c := fresh(key, 2000)
		m.Set(key, c)
		c.Release()
		if item, ok := m.Take(key); ok && i < 500 {
			held = append(held, item.(*Copy))
		} else if ok {
			item.(*Copy).Release()
		}
	}
	for i := range 500 {
		m.Delete(fmt.Sprint("k", i))
	}
	blocks := int64(0)
	for i, c := range held {
		wantFresh(t, fmt.Sprint("k", i), c)
		blocks += int64(slab.Rounded(entryOf(c).size()))
	}
	if len(held) != 500 || m.Bytes() < blocks || m.Entries() == 0 {
		t.Fatalf("%d are held, of %d bytes; counted are %d, with %d stored", len(held), blocks, m.Bytes(), m.Entries())
	}
	for i := range 3000 {
		key := fmt.Sprint("more", i)
		c := fresh(key, 2000)
		m.Set(key, c)
		c.Release()
	}
	if m.Bytes() > 4<<20 {
		t.Errorf("%d bytes with what is held", m.Bytes())
	}
	for _, c := range held {
		c.Release()
	}
	m.table.check(t, 0)
}

// Readers meet what is replaced, moved and let go of, and have each copy whole.
func TestReadersMeetMoves(t *testing.T) {
	watch(t)
	m := NewMemory(8 << 20)
	defer runtime.KeepAlive(m) // else its table is closed while it is checked
	m.table.slack = -8 << 20
	rounds := 60_000
	if raceEnabled {
		rounds = 6_000
	}
	var all sync.WaitGroup
	done := make(chan struct{})
	for worker := range uint64(3) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(worker, 1))
			for {
				select {
				case <-done:
					return
				default:
				}
				key := fmt.Sprint("k", r.IntN(4000))
				if item, ok := m.Take(key); ok {
					wantFresh(t, key, item.(*Copy))
					item.(*Copy).Release()
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(9, 9))
	for round := range rounds {
		key := fmt.Sprint("k", r.IntN(4000))
		c := fresh(key, (1+round/(rounds/6))*(300+r.IntN(300)))
		m.Set(key, c)
		c.Release()
	}
	close(done)
	all.Wait()
	m.table.check(t, 0)
}

// What is packed is what was made.
func TestPackedIsMade(t *testing.T) {
	watch(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.FixedZone("elsewhere", 3600))
	for about, life := range map[string]httpcache.Lifetime{
		"none":     {},
		"seconds":  {Date: at, Received: time.Now(), Fresh: time.Hour, StaleIfError: 365 * time.Hour, Keep: 1e18, MustRevalidate: true},
		"odd":      {Date: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Received: at, InitialAge: 7, Fresh: 1<<60 + 1, StaleWhileRevalidate: 3, Keep: 9, NoCache: true},
		"long":     {Date: at.UTC(), Received: at, Fresh: httpcache.MaxKeep, StaleWhileRevalidate: time.Second},
		"negative": {Fresh: -5, StaleIfError: -time.Second},
	} {
		for _, coding := range []httpcache.Coding{httpcache.Identity, httpcache.Zstd} {
			for _, body := range []string{"", "a body"} {
				c := NewCopy(201, someHeader(), []byte(body))
				if coding != httpcache.Identity {
					c = NewCoded(201, someHeader(), []byte("a plain body"), coding, []byte(body))
				}
				c.SetLife(life)
				c.SetVary([]string{"Accept", "X-" + about})
				c.SetAsked("Accept: " + about)
				c.SetMembers([]invalidation.ID{1, 2, 3 << 40})
				c.Stamp.Set(newClock().next())
				c.Use.Hit(at)
				c.Use.Fail(at, true, func(uint32) time.Duration { return time.Hour })
				m := NewMemory(1 << 20)
				m.Set("key "+about, c)
				item, _ := m.Take("key " + about)
				got := item.(*Copy)
				l := got.Life()
				if !l.Date.Equal(life.Date) || !l.Received.Equal(life.Received) {
					t.Errorf("%s: %v and %v, want %v and %v", about, l.Date, l.Received, life.Date, life.Received)
				}
				l.Date, l.Received = life.Date, life.Received
				same := fmt.Sprint(got.Status(), got.Digest, got.Head(), string(got.Body()), got.Length(), got.Coding(), got.Vary(), got.Asked(), got.Members(), got.Stamp.Token(), got.Use.Hits.Load(), got.Use.Failing(at)) ==
					fmt.Sprint(c.Status(), c.Digest, c.Head(), string(c.Body()), c.Length(), c.Coding(), c.Vary(), c.Asked(), c.Members(), c.Stamp.Token(), c.Use.Hits.Load(), c.Use.Failing(at))
				if l != life || !same || !got.same(c) {
					t.Errorf("%s: %+v with %q, want %+v with %q", about, l, got.Head()+got.Asked(), life, c.Head()+c.Asked())
				}
				got.Release()
				c.Release()
			}
		}
	}
}

// Lists that nobody uses give way, and there are only so many.
func TestLists(t *testing.T) {
	var l lists
	one, _ := l.take([]string{"A"})
	two, _ := l.take([]string{"B", "C"})
	again, ok := l.take([]string{"A"})
	if !ok || one != again || one == two || fmt.Sprint(l.at(two)) != "[B C]" || l.at(0) != nil {
		t.Errorf("%d, %d and %d are %v and %v", one, two, again, l.at(one), l.at(two))
	}
	l.give(one)
	l.give(two)
	if third, _ := l.take([]string{"D"}); third != two || fmt.Sprint(l.at(one), l.at(third)) != "[A] [D]" {
		t.Errorf("%d is %v, and %d is %v", one, l.at(one), third, l.at(third))
	}
	for i := range maxLists {
		_, ok = l.take([]string{fmt.Sprint("X-", i)})
	}
	if ok {
		t.Error("there are more lists than there may be")
	}
}
