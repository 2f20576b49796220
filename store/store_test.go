package store

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clock gives tokens that rise.
type clock struct {
	ledger *invalidation.Ledger
	log    *invalidation.Local
}

func newClock() *clock {
	l := invalidation.NewLedger()
	return &clock{l, invalidation.NewLocal(l, "test")}
}

func (c *clock) next() invalidation.Token {
	_, _ = c.log.Invalidate(context.Background(), invalidation.Order{Members: []policy.Member{"ttick"}})
	return c.ledger.Token()
}

// response makes a copy with this body, dated age ago.
func response(t invalidation.Token, body string, age time.Duration, vary ...string) *Copy {
	c := NewCopy(200, http.Header{"Content-Type": {"text/plain"}}, []byte(body))
	c.SetLife(httpcache.Lifetime{Date: now.Add(-age), Received: now, Fresh: time.Hour, Keep: time.Hour})
	c.SetVary(vary)
	c.Stamp.Set(t)
	return c
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func body(f Found) string {
	if f.Copy == nil {
		return ""
	}
	return string(f.Copy.Body())
}

func expect(t *testing.T, s *Store, h http.Header, want string) {
	t.Helper()
	if got := body(s.Lookup("key", h, now)); got != want {
		t.Errorf("%v finds %q, want %q", h, got, want)
	}
}

func newStore() *Store { return New(NewMemory(8 << 20)) }

func TestPutAndLookup(t *testing.T) {
	s, c := newStore(), newClock()
	if f := s.Lookup("key", nil, now); f.Copy != nil || f.Variants != nil {
		t.Errorf("an empty store finds %+v", f)
	}
	one := response(c.next(), "one", 0)
	s.Put("key", nil, one)
	if f := s.Lookup("key", headers("Accept", "x"), now); !f.Copy.same(one) || f.Key != "key" || f.Variants != nil {
		t.Errorf("found %+v, want the copy", f)
	}
	if f := s.Lookup("other", nil, now); f.Copy != nil {
		t.Error("another key finds the copy")
	}
	s.Drop("key", response(c.next(), "never stored", 0))
	expect(t, s, nil, "one")
	s.Drop("key", one)
	expect(t, s, nil, "")
}

// The key of a look-up may point into a buffer that is used again.
func TestLookupKeepsNoKey(t *testing.T) {
	s, c := newStore(), newClock()
	s.Put("key", nil, response(c.next(), "one", 0))
	buffer := []byte("key")
	f := s.Lookup(string(buffer), nil, now)
	copy(buffer, "???")
	if f.Key != "key" {
		t.Errorf("Found.Key = %q", f.Key)
	}
}

// RFC 9111 §4.1: a copy with Vary is used only where the named fields match those of the request that fetched it.
func TestSelectionByVary(t *testing.T) {
	for _, tc := range []struct {
		name             string
		vary             []string
		stored, presents http.Header
		hit              bool
	}{
		{"the same", []string{"Accept-Language"}, headers("Accept-Language", "de"), headers("Accept-Language", "de"), true},
		{"another value", []string{"Accept-Language"}, headers("Accept-Language", "de"), headers("Accept-Language", "en"), false},
		{"absent from both", []string{"Accept-Language"}, nil, headers("X-Other", "1"), true},
		{"absent from the request", []string{"Accept-Language"}, headers("Accept-Language", "de"), nil, false},
		{"absent from the copy's", []string{"Accept-Language"}, nil, headers("Accept-Language", "de"), false},
		{"absent is not empty", []string{"Accept-Language"}, nil, headers("Accept-Language", ""), false},
		{"space around the value", []string{"Accept"}, headers("Accept", " a/b "), headers("Accept", "a/b"), true},
		{"spread over two lines", []string{"Accept"}, headers("Accept", "a, b"), headers("Accept", "a", "Accept", "b"), true},
		{"in another order", []string{"Accept"}, headers("Accept", "a, b"), headers("Accept", "b, a"), false},
		{"a field that is not named", []string{"Accept"}, headers("Accept", "a", "Dnt", "1"), headers("Accept", "a"), true},
		{"one of two fields differs", []string{"Accept", "Dnt"}, headers("Accept", "a", "Dnt", "1"), headers("Accept", "a"), false},
		{"a value moved to the other field", []string{"A", "B"}, headers("A", "x", "B", ""), headers("A", "", "B", "x"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if httpcache.VaryMatch(tc.vary, tc.stored, tc.presents) != tc.hit {
				t.Fatal("policy.VaryMatch says otherwise")
			}
			s := newStore()
			stored := response(newClock().next(), "x", 0, tc.vary...)
			s.Put("key", tc.stored, stored)
			f := s.Lookup("key", tc.presents, now)
			if f.Copy.same(stored) != tc.hit {
				t.Errorf("hit = %v, want %v", f.Copy != nil, tc.hit)
			}
			if f.Variants == nil || !slices.Equal(f.Variants.Names(), tc.vary) {
				t.Errorf("Variants = %+v, want the names %v", f.Variants, tc.vary)
			}
			if tc.hit {
				s.Drop(f.Key, stored)
				if s.Lookup("key", tc.presents, now).Copy != nil {
					t.Error("Found.Key does not say where the copy is")
				}
			}
		})
	}
}

// RFC 9111 §4.1: where several copies match, the one with the most recent Date is used.
func TestMostRecentDateWins(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		s, c := newStore(), newClock()
		puts := []func(){
			func() { s.Put("key", headers("A", "1", "B", "1"), response(c.next(), "older", time.Minute, "A")) },
			func() { s.Put("key", headers("A", "1", "B", "1"), response(c.next(), "newer", time.Second, "B")) },
		}
		puts[order[0]]()
		puts[order[1]]()
		expect(t, s, headers("A", "1", "B", "1"), "newer")
		expect(t, s, headers("A", "1", "B", "2"), "older")
		expect(t, s, headers("A", "2", "B", "1"), "newer")
		expect(t, s, headers("A", "2", "B", "2"), "")
	}
}

// An origin that at times sends no Vary: that copy matches every request, and is one among the others.
func TestVaryComesAndGoes(t *testing.T) {
	s, c := newStore(), newClock()
	de, en := headers("Accept-Language", "de"), headers("Accept-Language", "en")
	s.Put("key", de, response(c.next(), "plain, before", time.Hour))
	s.Put("key", de, response(c.next(), "german", time.Minute, "Accept-Language"))
	expect(t, s, de, "german")
	expect(t, s, en, "") // the plain copy gave way
	s.Put("key", en, response(c.next(), "plain, after", time.Second))
	expect(t, s, de, "plain, after")
	expect(t, s, en, "plain, after")
	f := s.Lookup("key", en, now)
	s.Drop(f.Key, f.Copy)
	expect(t, s, de, "german")
}

// Put never puts what was fetched earlier in the place of what was fetched later.
func TestEarlierFetchDoesNotReplaceLater(t *testing.T) {
	de := headers("Accept-Language", "de")
	for _, tc := range []struct {
		name         string
		early, later []string // Vary
	}{
		{"without Vary", nil, nil},
		{"with Vary", []string{"Accept-Language"}, []string{"Accept-Language"}},
		{"the earlier has Vary", []string{"Accept-Language"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newStore(), newClock()
			first, second := c.next(), c.next()
			s.Put("key", de, response(second, "later", 0, tc.later...))
			s.Put("key", de, response(first, "earlier", 0, tc.early...))
			expect(t, s, de, "later")
			s.Put("key", de, response(second, "as late", 0, tc.later...))
			expect(t, s, de, "as late")
			s.Put("key", de, response(c.next(), "latest", 0, tc.later...))
			expect(t, s, de, "latest")
		})
	}
}

func TestVariantsAreCapped(t *testing.T) {
	s, c := newStore(), newClock()
	const over = 3
	agent := func(i int) http.Header { return headers("User-Agent", fmt.Sprint(i)) }
	for i := range MaxVariants + over {
		s.Put("key", agent(i), response(c.next(), fmt.Sprint(i), 0, "User-Agent"))
		s.Put("key", agent(i), response(c.next(), fmt.Sprint(i), 0, "User-Agent")) // again: not another variant
	}
	for i := range MaxVariants + over {
		want := fmt.Sprint(i)
		if i < over {
			want = "" // the oldest went
		}
		expect(t, s, agent(i), want)
	}
	if n := len(s.Lookup("key", agent(0), now).Variants.Keys); n != MaxVariants {
		t.Errorf("%d variants are remembered, want %d", n, MaxVariants)
	}
	s.Memory().Settle()
	if n := s.Memory().Entries(); n != MaxVariants+1 {
		t.Errorf("%d items are stored, want %d copies and their list", n, MaxVariants)
	}
}

func TestSelectionsAreCapped(t *testing.T) {
	s, c := newStore(), newClock()
	h := headers("A", "1", "B", "1", "C", "1", "D", "1", "E", "1")
	for i, name := range []string{"A", "B", "C", "D", "E", "B"} {
		s.Put("key", h, response(c.next(), name, -time.Duration(i)*time.Second, name))
	}
	v := s.Lookup("key", h, now).Variants
	if got := fmt.Sprint(v.Selections); got != "[[B] [E] [D] [C]]" {
		t.Errorf("selections %s, want the latest four, latest first", got)
	}
	if got := strings.Join(v.Names(), ""); got != "BCDE" {
		t.Errorf("Names = %s, want them sorted", got)
	}
	expect(t, s, headers("A", "1"), "")
}

// Variants are immutable: a reader may hold one while it is replaced.
func TestVariantsAreNotChanged(t *testing.T) {
	var v *Variants
	first, _ := v.with([]string{"A"}, "k1", "")
	second, _ := first.with([]string{"B"}, "k2", "")
	third, _ := first.with([]string{"C"}, "k3", "")
	if fmt.Sprint(*first, *second, *third) != "{[[A]] [k1]} {[[B] [A]] [k1 k2]} {[[C] [A]] [k1 k3]}" {
		t.Errorf("%v %v %v", *first, *second, *third)
	}
}

// A client that makes up values of what selects a variant does not push out the one that is read all the time, were it renewed just
// before: the one that was not read for the longest goes, and before all that were read the oldest of those that were not.
func TestMadeUpVariantsGiveWayFirst(t *testing.T) {
	s, c, now := New(NewMemory(1<<20)), newClock(), time.Now()
	put := func(origin string) { s.Put("k", headers("Origin", origin), response(c.next(), origin, 0, "Origin")) }
	read := func(origin string) *Copy { return s.Lookup("k", headers("Origin", origin), now).Copy }
	put("once popular")
	for range 1000 {
		read("once popular").Use.Hit(now)
	}
	put("hot")
	read("hot").Use.Hit(now.Add(time.Second))
	put("hot") // renewed
	for i := range 3 * MaxVariants {
		put(fmt.Sprint("made up ", i))
	}
	if read("hot") == nil || read("once popular") == nil {
		t.Error("a variant that was read gave way to those that were not")
	}
	if read("made up 0") != nil || read(fmt.Sprint("made up ", 3*MaxVariants-1)) == nil {
		t.Error("of those that nobody reads, the oldest is not the one that gave way")
	}
	for _, k := range s.Lookup("k", headers("Origin", "hot"), now).Variants.Keys {
		s.Memory().peek(k, func(item Item) {
			if item.(*Copy).Use.read.Load() == 0 {
				item.(*Copy).Use.Hit(now.Add(2 * time.Second))
			}
		})
	}
	put("one more")
	if read("once popular") != nil || read("hot") == nil {
		t.Error("of those that were read, the one that was not read for the longest is not the one that gave way")
	}
}

// Of the copies that a request selects, those do not count that were fetched without a field which it has.
func TestLookupHeedsSelectingFields(t *testing.T) {
	s, now := New(NewMemory(1<<20)), time.Now()
	put := func(h http.Header, at time.Time, vary ...string) {
		c := NewCopy(200, http.Header{}, nil)
		c.SetLife(httpcache.Lifetime{Fresh: time.Hour, Received: at, Date: at})
		c.SetVary(vary)
		s.Put("k", h, c)
	}
	dark := http.Header{"X-Theme": {"dark"}}
	put(nil, now)
	if s.Lookup("k", dark, now).Copy == nil || s.Lookup("k", dark, now, "X-Theme").Copy != nil || s.Lookup("k", nil, now, "X-Theme").Copy == nil {
		t.Error("a copy without variants")
	}
	put(dark, now, "X-Theme")
	put(nil, now.Add(time.Minute)) // later, and selected by any request
	if got := s.Lookup("k", dark, now, "X-Theme").Copy; got == nil || len(got.Vary()) != 1 {
		t.Error("the copy that was fetched with the field is not found beside a later one that was not")
	}
}
