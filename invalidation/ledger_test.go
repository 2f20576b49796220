package invalidation

import (
	"math"
	"strconv"
	"testing"
	"time"

	"cacheproxy/policy"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func tagID(name string) ID { return IDOf(policy.NewMember(policy.KindTag, name)) }

// feed applies entries at positions 1, 2, …, all at the same time.
func feed(l *Ledger, entries ...Entry) {
	for _, e := range entries {
		e.Position = l.applied.Load() + 1
		l.Apply(e, epoch)
	}
}

func stamped(t Token) *Stamp {
	s := new(Stamp)
	s.Set(t)
	return s
}

// The rules Token, Store and Use: what stands in the log after a token, and only that, decides about a copy.
func TestVerdictAndAdmission(t *testing.T) {
	a, b, other := tagID("a"), tagID("b"), tagID("other")
	hard := func(ids ...ID) Entry { return Entry{IDs: ids} }
	soft := func(ids ...ID) Entry { return Entry{Operation: InvalidateSoft, IDs: ids} }
	confirm := func(ids ...ID) Entry { return Entry{Operation: InvalidateConfirm, IDs: ids} }
	begin := func(ids ...ID) Entry { return Entry{Operation: BeginFence, IDs: ids} }
	end := func(ids ...ID) Entry { return Entry{Operation: EndFence, IDs: ids, Fenced: len(ids)} }
	for _, tc := range []struct {
		name   string
		before []Entry // applied before the token is taken
		after  []Entry
		ids    []ID
		want   Verdict
		admits bool
	}{
		{"empty log", nil, nil, []ID{a}, Valid, true},
		{"invalidated before the token", []Entry{hard(a)}, nil, []ID{a}, Valid, true},
		{"invalidated after the token", nil, []Entry{hard(a)}, []ID{a}, Purged, false},
		{"both", []Entry{hard(a)}, []Entry{hard(a)}, []ID{a}, Purged, false},
		{"another member invalidated", nil, []Entry{hard(other)}, []ID{a, b}, Valid, true},
		{"one of two members invalidated", nil, []Entry{hard(b)}, []ID{a, b}, Purged, false},
		{"a copy without members", nil, []Entry{hard(a)}, nil, Valid, true},
		{"soft", nil, []Entry{soft(a)}, []ID{a}, Soft, false},
		{"soft before the token", []Entry{soft(a)}, nil, []ID{a}, Valid, true},
		{"soft, then hard", nil, []Entry{soft(a), hard(a)}, []ID{a}, Purged, false},
		{"hard, then soft: still purged", nil, []Entry{hard(a), soft(a)}, []ID{a}, Purged, false},
		{"soft on one member, hard on another", nil, []Entry{soft(a), hard(b)}, []ID{a, b}, Purged, false},
		{"hard before, soft after", []Entry{hard(a)}, []Entry{soft(a)}, []ID{a}, Soft, false},
		{"to be confirmed", nil, []Entry{confirm(a)}, []ID{a}, Unconfirmed, false},
		{"to be confirmed, before the token", []Entry{confirm(a)}, nil, []ID{a}, Valid, true},
		{"to be confirmed, and soft", nil, []Entry{confirm(a), soft(a)}, []ID{a}, Unconfirmed, false},
		{"to be confirmed on one member, soft on another", nil, []Entry{confirm(a), soft(b)}, []ID{a, b}, Unconfirmed, false},
		{"to be confirmed on one member, hard on another", nil, []Entry{hard(b), confirm(a)}, []ID{a, b}, Purged, false},
		{"hard, then to be confirmed: still purged", nil, []Entry{hard(a), confirm(a)}, []ID{a}, Purged, false},
		{"fence open", nil, []Entry{begin(a)}, []ID{a}, Fenced, false},
		{"fence ended", nil, []Entry{begin(a), end(a)}, []ID{a}, Purged, false},
		{"fetched within the fence, fence ended", []Entry{begin(a)}, []Entry{end(a)}, []ID{a}, Purged, false},
		{"fetched after the fence", []Entry{begin(a), end(a)}, nil, []ID{a}, Valid, true},
		{"overlapping fences, one ended", nil, []Entry{begin(a), begin(a), end(a)}, []ID{a}, Fenced, false},
		{"end without a begin", nil, []Entry{end(a)}, []ID{a}, Purged, false},
		{"end without a begin leaves later fences alone", []Entry{end(a)}, []Entry{begin(a)}, []ID{a}, Fenced, false},
		{"soft purge within a fence", nil, []Entry{begin(a), soft(a)}, []ID{a}, Fenced, false},
		{"fence on another member", nil, []Entry{begin(other)}, []ID{a}, Valid, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewLedger()
			feed(l, tc.before...)
			token := l.Token()
			copied := stamped(token)
			feed(l, tc.after...)
			for range 2 { // the second time what the first noted in the stamp counts
				if got := l.Check(copied, tc.ids); got != tc.want {
					t.Fatalf("Check = %v, want %v", got, tc.want)
				}
			}
			if got := l.Admits(token, tc.ids); got != tc.admits {
				t.Errorf("Admits = %v, want %v", got, tc.admits)
			}
		})
	}
}

// Rule Store: a fetch that began within a fence may hold what the origin said before the write was committed.
func TestNothingIsAdmittedWithinAFence(t *testing.T) {
	l := NewLedger()
	feed(l, Entry{Operation: BeginFence, IDs: []ID{tagID("a")}})
	if token := l.Token(); l.Admits(token, []ID{tagID("a")}) {
		t.Error("a response fetched within the fence was admitted")
	} else if !l.Admits(token, []ID{tagID("b")}) {
		t.Error("a response that the fence does not concern was refused")
	}
}

// Rule Use: having been found valid once protects from nothing that comes later.
func TestCheckedCopyHeedsLaterEntries(t *testing.T) {
	l := NewLedger()
	copied, ids := stamped(l.Token()), []ID{tagID("a")}
	feed(l, Entry{IDs: []ID{tagID("x")}}, Entry{IDs: []ID{tagID("y")}})
	if got := l.Check(copied, ids); got != Valid {
		t.Fatalf("Check = %v, want valid", got)
	}
	feed(l, Entry{IDs: []ID{tagID("a")}})
	if got := l.Check(copied, ids); got != Purged {
		t.Fatalf("Check after the purge = %v, want purged", got)
	}
}

// Rule Join: a flight is to be left by those that arrived after an invalidation of what it fetches.
func TestSince(t *testing.T) {
	a, b := tagID("a"), tagID("b")
	l := NewLedger()
	feed(l, Entry{IDs: []ID{a}})
	flight := l.Token()
	if l.Since(flight, []ID{a, b}) {
		t.Error("an invalidation before the flight counts")
	}
	feed(l, Entry{IDs: []ID{tagID("x")}})
	if l.Since(flight, []ID{a, b}) {
		t.Error("an invalidation of something else counts")
	}
	feed(l, Entry{Operation: InvalidateSoft, IDs: []ID{b}})
	if !l.Since(flight, []ID{a, b}) {
		t.Error("a soft purge during the flight does not count")
	}
	if l.Since(flight, []ID{a}) {
		t.Error("a purge of another member counts")
	}
	feed(l, Entry{IDs: []ID{a}}, Entry{IDs: []ID{b}})
	if !l.Since(flight, []ID{a}) || l.Since(l.Token(), []ID{a, b}) {
		t.Error("the token of the flight is not what decides")
	}
}

// Marks in one shard beyond its limit: copies whose marks may have been given up are refused, not believed.
func TestFloor(t *testing.T) {
	l := aimed()
	early := l.Token()
	var ids []ID
	for i := range ID(l.limit + 1) {
		ids = append(ids, ID(4)<<60|i*shards)
	}
	copied := stamped(early)
	fenced := ids[0]
	feed(l, Entry{Operation: BeginFence, IDs: []ID{fenced}})
	for _, id := range ids[1:] {
		feed(l, Entry{IDs: []ID{id}})
	}
	floor := l.floor.Load()
	if floor == 0 || l.Marks() >= l.limit {
		t.Fatalf("floor %d, %d marks: the shard of %d was not trimmed", floor, l.Marks(), l.limit)
	}
	for i, id := range ids {
		old := []ID{id}
		if got := l.Check(stamped(early), old); got != Purged {
			t.Fatalf("copy of member %d from before the log = %v, want purged", i, got)
		}
	}
	if l.Check(copied, []ID{tagID("never named")}) != Purged || l.Admits(early, []ID{tagID("never named")}) {
		t.Error("below the floor nothing can be known, yet a copy was accepted")
	}
	if !l.Since(early, []ID{tagID("never named")}) {
		t.Error("below the floor a flight may not be joined")
	}
	if l.Admits(l.Token(), []ID{fenced}) {
		t.Error("the floor took a fence away")
	}
	above := Token{floor}
	if l.Check(stamped(above), []ID{tagID("never named")}) != Valid || !l.Admits(above, []ID{tagID("never named")}) {
		t.Error("a copy at the floor was refused")
	}
	if last := ids[len(ids)-1]; l.Check(stamped(above), []ID{last}) != Purged {
		t.Error("a mark above the floor was lost")
	}
}

func TestMarksAreForgottenByAge(t *testing.T) {
	const lifetime = time.Hour
	fill := func(l *Ledger, at time.Time) {
		for range l.shards[0].sweep {
			next := l.applied.Load() + 1
			l.Apply(Entry{Position: next, IDs: []ID{ID(next) * shards}}, at)
		}
	}
	for _, tc := range []struct {
		name    string
		retain  time.Duration
		after   time.Duration
		forgets bool
	}{
		{"a copy may be left", lifetime, lifetime + MaxFill - time.Second, false},
		{"no copy can be left", lifetime, lifetime + MaxFill + time.Second, true},
		{"copies kept for ever", math.MaxInt64, 100 * lifetime, false},
		{"copies kept for ever, no time has passed", math.MaxInt64, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := aimed()
			l.Retain(tc.retain)
			l.Retain(time.Minute) // a shorter life later does not shorten the first
			l.Apply(Entry{Position: 1, IDs: []ID{shards}}, epoch)
			fill(l, epoch.Add(tc.after))
			if _, kept := l.mark(shards); kept == tc.forgets {
				t.Errorf("mark kept: %v, want %v", kept, !tc.forgets)
			}
			if l.floor.Load() != 0 {
				t.Errorf("floor = %d: pruning by age must not raise it", l.floor.Load())
			}
		})
	}
}

// A fence stands for as long as its writer needs, however old its mark is.
func TestFenceIsNotForgottenByAge(t *testing.T) {
	l := aimed()
	l.Apply(Entry{Position: 1, Operation: BeginFence, IDs: []ID{shards}}, epoch)
	for i := uint64(2); i < 5000; i++ {
		l.Apply(Entry{Position: i, IDs: []ID{ID(i) * shards}}, epoch.Add(24*time.Hour))
	}
	if l.Admits(l.Token(), []ID{shards}) {
		t.Error("the fence is gone")
	}
}

// Marks are dated from the first entry, by the difference of two times, which for those of time.Now is monotonic.
func TestMarksAreDatedFromTheFirst(t *testing.T) {
	l := NewLedger()
	l.Apply(Entry{Position: 1, IDs: []ID{1}}, epoch)
	l.Apply(Entry{Position: 2, IDs: []ID{2}}, epoch.Add(time.Second))
	if m, _ := l.mark(2); m.at != time.Second {
		t.Errorf("mark dated %v after the first, want 1s", m.at)
	}
}

func TestIDs(t *testing.T) {
	kinds := []policy.MemberKind{policy.KindAll, policy.KindRoute, policy.KindKey, policy.KindTag, policy.KindGroup,
		policy.KindURL, policy.KindPath, policy.KindPrefix}
	seen := map[int]bool{}
	for _, k := range kinds {
		seen[IDOf(policy.NewMember(k, "v")).kind()] = true
	}
	if len(seen) != len(kinds) || seen[0] {
		t.Errorf("kinds share numbers: %v", seen)
	}
	if IDOf("zunknown").kind() != 0 || IDOf("").kind() != 0 {
		t.Error("an unknown kind has the number of a known one")
	}
	ids := IDsOf([]policy.Member{"tb", "ta", "tb", policy.All})
	if len(ids) != 3 {
		t.Errorf("IDsOf = %d ids, want 3 without duplicates", len(ids))
	}
	// Stored by other processes and versions: must never change.
	if got := strconv.FormatUint(uint64(IDOf("tproduct-17")), 16); got != "47a1812c63c07104" {
		t.Errorf("IDOf(tproduct-17) = %s: it has changed", got)
	}
}

func TestVerdictNames(t *testing.T) {
	for v, want := range map[Verdict]string{Valid: "valid", Soft: "soft-purged", Unconfirmed: "unconfirmed", Fenced: "fenced", Purged: "purged"} {
		if v.String() != want {
			t.Errorf("%d = %q, want %q", v, v, want)
		}
	}
}

// aimed is a ledger in which a test can say in which shard a member is.
func aimed() *Ledger {
	l := NewLedger()
	l.seed, l.factor = 0, 1
	return l
}

// Whoever knows how members become IDs, which is no secret, and whatever bits of them he chooses, does not know which of them meet in a
// shard: the marks that one shard holds do not fill up before many times as many are there.
func TestShardsCannotBeAimedAt(t *testing.T) {
	for name, aim := range map[string]func(i uint64) ID{
		"low bits":    func(i uint64) ID { return ID(6<<60 | i<<6) },
		"middle bits": func(i uint64) ID { return ID(6<<60 | i<<20 | 5) },
		"high bits":   func(i uint64) ID { return ID(6<<60 | i<<40) },
		"in a row":    func(i uint64) ID { return ID(6<<60 | i) },
	} {
		l := NewLedger()
		l.limit = 512
		n := uint64(l.limit * shards / 2)
		for i := range n {
			l.Apply(Entry{Position: i + 1, IDs: []ID{aim(i)}}, epoch)
		}
		if floor := l.floor.Load(); floor != 0 || l.Marks() != int(n) {
			t.Errorf("%s: floor %d with %d marks of %d", name, floor, l.Marks(), l.limit*shards)
		}
	}
}
