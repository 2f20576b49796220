package invalidation

import (
	"sync"
	"testing"

	"cacheproxy/policy"
)

// seenID is one of many IDs of a kind.
func seenID(kind policy.MemberKind, i int) ID {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	return idOf(policy.NewMember(kind, ""), x^x>>27)
}

// What was added lately is never taken for unseen; what was not rarely is for seen; and what was added long ago is forgotten, so that the
// memory is bounded.
func TestSeen(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and many names: test/norace runs it")
	}
	var s Seen
	if s.Has(seenID(policy.KindTag, 0)) {
		t.Error("something was seen before anything was added")
	}
	add := func(from, to int) {
		for i := from; i < to; i++ {
			s.Add([]ID{IDOf(policy.All), seenID(policy.KindTag, i)})
		}
	}
	add(0, seenNames/2)
	for i := range seenNames / 2 {
		if !s.Has(seenID(policy.KindTag, i)) {
			t.Fatalf("name %d is forgotten", i)
		}
	}
	count := func(from, to int, kind policy.MemberKind) (n int) {
		for i := from; i < to; i++ {
			if s.Has(seenID(kind, i)) {
				n++
			}
		}
		return n
	}
	add(seenNames/2, seenNames*5/4)
	if n := count(0, seenNames*5/4, policy.KindTag); n != seenNames*5/4 {
		t.Errorf("%d of %d names are seen after one change of filters", n, seenNames*5/4)
	}
	if n := count(0, 100_000, policy.KindKey); n > 2000 {
		t.Errorf("%d of 100000 names that were not added are seen", n)
	}
	add(2*seenNames, 7*seenNames/2)
	if n := count(0, 100_000, policy.KindTag); n > 4000 {
		t.Errorf("%d of 100000 names of long ago are seen", n)
	}
	if s.Has(IDOf(policy.All)) {
		t.Error("a name that every copy has is remembered")
	}
}

// Adding goes on while filters change and others ask.
func TestSeenTogether(t *testing.T) {
	var s Seen
	var g sync.WaitGroup
	for k := range 4 {
		g.Go(func() {
			for i := range 50_000 {
				id := seenID(policy.KindPath, k*50_000+i)
				if s.Add([]ID{id}); !s.Has(id) {
					t.Errorf("%d is not seen", i)
					return
				}
			}
		})
	}
	g.Wait()
}
