package invalidation

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// manyIDs are members of a copy, sorted, among which a test names some.
func manyIDs(n, every int) []ID {
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = ID(4<<(64-kindBits) + i*every)
	}
	return ids
}

// inParts is the verdict on members that are looked up each by itself.
func inParts(l *Ledger, position uint64, ids []ID) (worst Verdict) {
	for part := range slices.Chunk(ids, fewMembers) {
		worst = max(worst, l.scan(position, part))
	}
	return worst
}

// Of a copy with thousands of members, the last marks tell what each member by itself does, whatever was done to them and however long
// ago the copy was last asked about.
func TestRecentAgreesWithEachMember(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and many names: test/norace runs it")
	}
	random := rand.New(rand.NewPCG(1, 2))
	l, now := NewLedger(), time.Unix(0, 0)
	ids := manyIDs(1000, 7)
	position := uint64(0)
	var fences [][]ID
	for step := range 4000 {
		position += uint64(random.IntN(3))
		named := make([]ID, 1+random.IntN(5))
		for i := range named {
			named[i] = ID(4<<(64-kindBits) + random.IntN(7*1000*4))
		}
		if random.IntN(50) == 0 {
			named = manyIDs(2000, 11)[1000:]
		}
		e := Entry{Position: position, Operation: Operation(random.IntN(2)), IDs: named}
		switch random.IntN(12) {
		case 0:
			e.Operation = BeginFence
			fences = append(fences, named)
		case 1:
			if len(fences) > 0 {
				e.Operation, e.IDs, e.Fenced = EndFence, fences[0], len(fences[0])
				fences = fences[1:]
			}
		case 2:
			e.Operation = InvalidateConfirm
		}
		l.Apply(e, now)
		for _, back := range []int{0, 1, 2, 5, 20, 200, 4000} {
			from := position - min(position, uint64(back))
			got, want := l.scan(from, ids), inParts(l, from, ids)
			// A fence that stands since before from concerns no copy that is known to be valid up to there.
			if got != want && !(want == Fenced && got < Fenced) && !(got >= Fenced && want >= Fenced) {
				t.Fatalf("step %d, %d back: %v, and each by itself %v", step, back, got, want)
			}
		}
	}
}

// A fence that is opened at the position which the ledger has reached keeps copies from being used that are known to be valid up to there.
func TestRecentFenceAtThePosition(t *testing.T) {
	l, ids := NewLedger(), manyIDs(1000, 1)
	l.Apply(Entry{Position: 5, IDs: []ID{1}}, time.Unix(0, 0))
	var s Stamp
	s.Set(l.Token())
	l.Apply(Entry{Position: 5, Operation: BeginFence, IDs: ids[500:501]}, time.Unix(0, 0))
	l.Apply(Entry{Position: 6, IDs: []ID{ids[999] + 1}}, time.Unix(0, 0))
	if got := l.Check(&s, ids); got != Fenced {
		t.Errorf("%v", got)
	}
}

// However fast entries come, and whatever is overwritten while a reader looks, none that was applied is overlooked.
func TestRecentTogether(t *testing.T) {
	l, ids := NewLedger(), manyIDs(500, 10)
	var named atomic.Uint64 // position at which a member was last named
	var over atomic.Bool
	var g sync.WaitGroup
	for range 3 {
		g.Go(func() {
			for !over.Load() {
				var s Stamp
				token := l.Token()
				s.Set(token)
				for range 100 {
					after := named.Load()
					if got := l.Check(&s, ids); after > token.position && got == Valid {
						t.Errorf("named at %d, and valid since %d", after, token.position)
						over.Store(true)
						return
					}
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(3, 4))
	last := uint64(200_000)
	if raceEnabled {
		last = 40_000 // the detector makes each ten times as long
	}
	for position := uint64(1); position < last && !over.Load(); position++ {
		e := Entry{Position: position, IDs: []ID{ids[0] + 1, ids[0] + 2, ids[0] + 3}}
		if isNamed := random.IntN(500) == 0; isNamed {
			e.IDs = append(e.IDs, ids[random.IntN(len(ids))])
			l.Apply(e, time.Unix(0, 0))
			named.Store(position)
			continue
		}
		l.Apply(e, time.Unix(0, 0))
	}
	over.Store(true)
	g.Wait()
}

// What is kept of marks is looked at instead of the members as long as it is less.
func TestRecentIsLess(t *testing.T) {
	l, ids := NewLedger(), manyIDs(4096, 2)
	for position := range uint64(100) {
		l.Apply(Entry{Position: position + 1, IDs: []ID{ids[0] + 1, ids[7]}}, time.Unix(0, 0))
	}
	for back, want := range map[uint64]bool{1: true, 50: true, 99: true} {
		if found, ok := l.recent.since(100-back+1, ids, nil); ok != want || len(found) != int(back) {
			t.Errorf("%d back: %d found, %v", back, len(found), ok)
		}
	}
	if _, ok := l.recent.since(1, ids[:150], nil); ok {
		t.Error("more marks than members were looked at")
	}
	for position := range uint64(recentMarks) {
		l.Apply(Entry{Position: position + 101, IDs: []ID{1}}, time.Unix(0, 0))
	}
	if _, ok := l.recent.since(50, ids, nil); ok {
		t.Error("marks that were overwritten are said to be known")
	}
}

func BenchmarkCheckManyMembers(b *testing.B) {
	l, ids := NewLedger(), manyIDs(4096, 2)
	for i := range 10_000 {
		l.Apply(Entry{Position: uint64(i + 1), IDs: []ID{ids[0] + 1 + ID(2*i)}}, time.Unix(0, 0))
	}
	for name, scan := range map[string]func(uint64, []ID) Verdict{
		"recent": l.scan, "each": func(position uint64, ids []ID) Verdict { return inParts(l, position, ids) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				scan(9_999, ids)
			}
		})
	}
}

// A copy with many members of which the last marks name some is spared by any of its members, and not only by those.
func TestManyMembersAreSpared(t *testing.T) {
	l, ids := NewLedger(), manyIDs(200, 10)
	for position := range uint64(2) { // from which on it is known what was named since
		l.Apply(Entry{Position: 1 + position, IDs: []ID{ids[0] + 1}}, time.Unix(0, 0))
	}
	spared, others := new(Stamp), new(Stamp)
	spared.Set(l.Token())
	others.Set(l.Token())
	l.Apply(Entry{Position: 3, IDs: ids[:1], Spared: ids[150:151]}, time.Unix(0, 0))
	if v := l.Check(spared, ids); v != Valid {
		t.Errorf("a copy that is spared is %v", v)
	}
	if v := l.Check(others, slices.Delete(slices.Clone(ids), 150, 151)); v != Purged {
		t.Errorf("a copy that is not spared is %v", v)
	}
}
