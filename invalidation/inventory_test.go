package invalidation

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"cacheproxy/policy"
)

// inventory is a stock of many articles that is written all the time. A write names three members: the URL for its host and
// for all hosts, and the copy's key.
func inventory(skus int) [][]ID {
	all := make([][]ID, skus)
	for i := range all {
		all[i] = IDsOf([]policy.Member{
			policy.Member(fmt.Sprintf("ushop.example/inventory/%d", i)), policy.Member(fmt.Sprintf("u*/inventory/%d", i)),
			policy.NewMember(policy.KindKey, fmt.Sprintf("v1:stock:%d", i)),
		})
	}
	return all
}

// 200,000 articles, each of which is written again and again, 500 times a second in all, cost the catalogue none of its copies,
// which live for a day: marks of members that are written anew take no more room, and there is room for all of them.
func TestInventoryLeavesTheCatalogueAlone(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and many names: test/norace runs it")
	}
	const (
		skus, rounds = 200_000, 3
		day          = 24 * time.Hour
	)
	stock := inventory(skus)
	l := NewLedger()
	l.Retain(day)
	type page struct {
		stamp Stamp
		ids   []ID
		until time.Time
	}
	now, position := epoch, uint64(0)
	var pages []*page
	random := rand.New(rand.NewPCG(1, 1))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for round := range rounds {
		for n, i := range random.Perm(skus) {
			for _, operation := range []Operation{BeginFence, EndFence} {
				position++
				l.Apply(Entry{Position: position, Operation: operation, IDs: stock[i], Fenced: len(stock[i])}, now)
			}
			now = now.Add(2 * time.Millisecond)
			if n%1000 == 0 {
				p := &page{until: now.Add(day), ids: IDsOf([]policy.Member{policy.All, "rcatalogue", "tcatalogue",
					policy.Member(fmt.Sprintf("ushop.example/catalogue/%d-%d", round, n))})}
				p.stamp.Set(l.Token())
				pages = append(pages, p)
			}
		}
		// The rest of a third of the day passes without writes: the marks grow older, and the copies too.
		now = now.Add(day/rounds - skus*2*time.Millisecond)
		for i, p := range pages {
			if verdict := l.Check(&p.stamp, p.ids); now.Before(p.until) && verdict != Valid {
				t.Fatalf("round %d: page %d is %v", round, i, verdict)
			}
		}
	}
	if l.floor.Load() != 0 {
		t.Errorf("floor = %d after %d entries", l.floor.Load(), position)
	}
	if n := l.Marks(); n != 3*skus {
		t.Errorf("%d marks, want %d", n, 3*skus)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d marks after %d entries: %d MiB", l.Marks(), position, (after.HeapAlloc-before.HeapAlloc)>>20)
	runtime.KeepAlive(l)
	runtime.KeepAlive(stock)
}
