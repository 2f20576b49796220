package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// purgeable is a copy with names of its folder and of its own, as many as there shall be, and a lifetime.
func purgeable(key string, ids []invalidation.ID, token invalidation.Token) *Copy {
	c := NewCopy(200, http.Header{"Etag": {`"` + key + `"`}}, bytes.Repeat([]byte("x"), 200))
	c.SetMembers(ids)
	now := time.Now()
	c.SetLife(httpcache.Lifetime{Date: now, Received: now, Fresh: time.Hour, Keep: time.Hour})
	c.Stamp.Set(token)
	return c
}

// Once an entry is applied, no reader uses a copy from before it that has one of its names, whether the copy has it by itself or with its
// family, few names or thousands; meanwhile others are named, and copies are stored anew, moved and let go of.
func TestNothingStaleAfterItIsNamed(t *testing.T) {
	const folders, each, many = 4, 6, 300
	m := NewMemory(1 << 20)
	m.table.slack = -1 << 20 // as much is moved as can be
	s := New(m)
	ledger := invalidation.NewLedger()
	type place struct {
		key string
		ids []invalidation.ID
	}
	var places []place
	var common []invalidation.ID
	for folder := range folders {
		prefix := policy.NewMember(policy.KindPrefix, fmt.Sprint("host/f", folder))
		common = append(common, invalidation.IDOf(prefix))
		for i := range each {
			members := []policy.Member{policy.All, "rroute", policy.NewMember(policy.KindPrefix, "host"), prefix}
			own := 3
			if i == 0 {
				own = many
			}
			for n := range own {
				members = append(members, policy.NewMember(policy.KindTag, fmt.Sprint("own ", folder, i, n)))
			}
			places = append(places, place{fmt.Sprint("12345678host/f", folder, "/", i), invalidation.IDsOf(members)})
		}
	}
	var named [folders * each]atomic.Uint64 // position up to which entries are applied that named the copies of a place
	var over atomic.Bool
	var g sync.WaitGroup
	var used [2]atomic.Int64 // by readers: copies that were valid, and others
	for reader := range uint64(3) {
		g.Go(func() {
			r := rand.New(rand.NewPCG(reader, 1))
			for !over.Load() {
				i := r.IntN(len(places))
				after := named[i].Load()
				found := s.Lookup(places[i].key, nil, time.Now())
				if found.Copy != nil {
					use, _ := found.Copy.Usable(ledger, time.Now())
					if use == httpcache.Fresh && found.Copy.Stamp.Token().Position() < after {
						t.Errorf("%s from %d is used, and was named at %d", found.Key, found.Copy.Stamp.Token().Position(), after)
						over.Store(true)
					}
					if use == httpcache.Fresh {
						used[0].Add(1)
					} else {
						used[1].Add(1)
					}
				}
				if found.Copy == nil || r.IntN(20) == 0 {
					c := purgeable(places[i].key, places[i].ids, ledger.Token())
					s.Put(places[i].key, nil, c)
					c.Release()
				}
				found.Release()
			}
		})
	}
	r := rand.New(rand.NewPCG(9, 1))
	last := uint64(60_000)
	if raceEnabled {
		last = 6_000
	}
	for position := uint64(1); position < last && !over.Load(); position++ {
		e := invalidation.Entry{Position: position, IDs: []invalidation.ID{invalidation.IDOf("tother")}}
		var hit []int
		switch r.IntN(10) {
		case 0: // one name of one copy
			i := r.IntN(len(places))
			own := invalidation.Without(places[i].ids, slices.Sorted(slices.Values(common)))
			own = slices.DeleteFunc(own, func(id invalidation.ID) bool { return id.OfMany() })
			e.IDs, hit = append(e.IDs, own[r.IntN(len(own))]), []int{i}
		case 1: // what the family has
			folder := r.IntN(folders)
			e.IDs = append(e.IDs, common[folder])
			for i := range each {
				hit = append(hit, folder*each+i)
			}
		}
		ledger.Apply(e, time.Unix(0, 0))
		for _, i := range hit {
			named[i].Store(position)
		}
	}
	over.Store(true)
	g.Wait()
	shared := 0
	for e := range m.table.all() {
		if copyOf(e).packed.flags&flagShares != 0 {
			shared++
		}
	}
	if shared == 0 {
		t.Error("no copy shares names with its family")
	}
	if used[0].Load() == 0 || used[1].Load() == 0 {
		t.Errorf("%d copies were used, and %d were not", used[0].Load(), used[1].Load())
	}
	m.table.check(t, 0)
}

// A hit of a copy with thousands of names allocates nothing, whether something else was named since the last one or not.
func TestManyNamesAllocateNothing(t *testing.T) {
	m := NewMemory(8 << 20)
	s, ledger := New(m), invalidation.NewLedger()
	for key, n := range map[string]int{"12345678/few": 12, "12345678/many": 3000} {
		members := []policy.Member{policy.All, "rroute"}
		for i := range n {
			members = append(members, policy.NewMember(policy.KindTag, fmt.Sprint("own ", i)))
		}
		c := purgeable(key, invalidation.IDsOf(members), ledger.Token())
		s.Put(key, nil, c)
		c.Release()
		position, now := ledger.Token().Position(), time.Now()
		for _, name := range []bool{false, true} {
			entry := invalidation.Entry{IDs: []invalidation.ID{invalidation.IDOf("tother")}}
			got := testing.AllocsPerRun(1000, func() {
				if name {
					position++
					entry.Position = position
					ledger.Apply(entry, now)
				}
				found := s.Lookup(key, nil, now)
				if use, _ := found.Copy.Usable(ledger, now); use != httpcache.Fresh {
					t.Fatal(use)
				}
				found.Release()
			})
			if got > 0 && !raceEnabled {
				t.Errorf("%s names: %.1f allocations for a hit, others named: %v", key, got, name)
			}
		}
	}
}

// BenchmarkUsable is what the question costs whether a copy may be used, by its names, while nothing is named and while others are all the time.
func BenchmarkUsable(b *testing.B) {
	for _, n := range []int{12, 3000} {
		for _, entries := range []bool{false, true} {
			b.Run(fmt.Sprintf("names=%d/others-named=%v", n, entries), func(b *testing.B) {
				s, ledger := New(NewMemory(8<<20)), invalidation.NewLedger()
				members := []policy.Member{policy.All, "rroute", policy.NewMember(policy.KindPrefix, "host")}
				for i := range n {
					members = append(members, policy.NewMember(policy.KindTag, fmt.Sprint("own ", i)))
				}
				c := purgeable("key", invalidation.IDsOf(members), ledger.Token())
				s.Put("12345678/key", nil, c)
				c.Release()
				found, now := s.Lookup("12345678/key", nil, time.Now()), time.Now()
				defer found.Release()
				position, other := uint64(0), []invalidation.ID{invalidation.IDOf("tother")}
				for b.Loop() {
					if entries {
						position++
						ledger.Apply(invalidation.Entry{Position: position, IDs: other}, now)
					}
					if use, _ := found.Copy.Usable(ledger, now); use != httpcache.Fresh {
						b.Fatal(use)
					}
				}
			})
		}
	}
}
