package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
)

// box is a tier of what a test puts into it. It keeps a reference to each copy for good.
type box map[string]Item

func (b box) Get(_ context.Context, key string) (Item, error) {
	counted(b[key]).Hold()
	return b[key], nil
}

func (b box) Put(_ context.Context, key string, item Item) error {
	counted(item).Hold()
	b[key] = item
	return nil
}
func (b box) Down() bool { return false }

// A copy that comes up from a tier takes the place only of one that was fetched before it.
func TestRecalledCopyIsTheLaterOne(t *testing.T) {
	c := newClock()
	first, second := c.next(), c.next()
	younger := func(copied *Copy) *Copy {
		life := copied.Life()
		life.Received = life.Received.Add(time.Second)
		copied.SetLife(life)
		return copied
	}
	for name, test := range map[string]struct{ memory, below *Copy }{
		"later token":               {response(first, "memory", 0), response(second, "below", 0)},
		"earlier token":             {younger(response(second, "memory", 0)), response(first, "below", 0)},
		"earlier token, younger":    {response(second, "memory", 0), younger(response(first, "below", 0))},
		"same token, younger":       {response(first, "memory", 0), younger(response(first, "below", 0))},
		"same token, older":         {younger(response(first, "memory", 0)), response(first, "below", 0)},
		"same token, the same time": {response(first, "memory", 0), response(first, "below", 0)},
	} {
		want := "memory"
		if name == "later token" || name == "same token, younger" {
			want = "below"
		}
		s := New(NewMemory(8<<20), box{"key": test.below})
		s.Memory().Set("key", test.memory)
		if found, err := s.Promote(t.Context(), "key", nil, now); err != nil || body(found) != want {
			t.Errorf("%s: found %q, want %q", name, body(found), want)
		}
	}
}

// What two instances know of the variants of a URL is joined, as far as there is room.
func TestVariantsAreJoined(t *testing.T) {
	list := func(prefix string, n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint(prefix, i))
		}
		return all
	}
	for _, c := range []struct {
		ours, theirs, want *Variants
	}{
		{&Variants{[][]string{{"A"}}, []string{"1"}}, &Variants{[][]string{{"B"}}, []string{"2"}}, &Variants{[][]string{{"A"}, {"B"}}, []string{"2", "1"}}},
		{&Variants{[][]string{{"A"}}, []string{"1"}}, &Variants{[][]string{{"A"}}, []string{"1"}}, nil},
		{&Variants{[][]string{{"A"}}, []string{"1"}}, &Variants{[][]string{{"A"}, {"B"}}, nil}, &Variants{[][]string{{"A"}, {"B"}}, []string{"1"}}},
		{&Variants{[][]string{{"A"}}, list("o", MaxVariants-1)}, &Variants{[][]string{{"A"}}, list("t", 2)},
			&Variants{[][]string{{"A"}}, append([]string{"t1"}, list("o", MaxVariants-1)...)}},
		{&Variants{[][]string{{"A"}, {"B"}, {"C"}}, nil}, &Variants{[][]string{{"D"}, {"E"}}, nil}, &Variants{[][]string{{"A"}, {"B"}, {"C"}, {"D"}}, nil}},
	} {
		before := fmt.Sprint(*c.ours)
		got := c.ours.join(c.theirs)
		if fmt.Sprint(*c.ours) != before {
			t.Errorf("joining changed what others read: %v", *c.ours)
		}
		if c.want == nil {
			if got != c.ours {
				t.Errorf("nothing new makes new variants: %v", *got)
			}
			continue
		}
		if fmt.Sprint(*got) != fmt.Sprint(*c.want) {
			t.Errorf("%v and %v: %v, want %v", *c.ours, *c.theirs, *got, *c.want)
		}
	}
}

// What another instance has found to vary takes the place of a copy that does not.
func TestVariantsTakeThePlaceOfACopy(t *testing.T) {
	c := newClock()
	far := New(NewMemory(8 << 20))
	de := headers("X-Lang", "de")
	far.Put("key", de, response(c.next(), "de", 0, "X-Lang"))
	below := box{}
	sunk := New(far.Memory(), below)
	if err := sunk.WriteBelow(t.Context(), "key", de); err != nil {
		t.Fatal(err)
	}
	s := New(NewMemory(8<<20), below)
	s.Memory().Set("key", response(c.next(), "for all", 0))
	if found, err := s.Promote(t.Context(), "key", de, now); err != nil || body(found) != "de" || !slices.Equal(found.Variants.Names(), []string{"X-Lang"}) {
		t.Errorf("found %q, %+v, %v", body(found), found.Variants, err)
	}
}

// A copy is offered to the tiers below once in each round, whether it was there before or came in between, and again if nobody
// could take it.
func TestRewarm(t *testing.T) {
	c := newClock()
	below := box{}
	s := New(NewMemory(8<<20), below)
	lacks := func(want bool, copies ...*Copy) {
		t.Helper()
		for i, copied := range copies {
			if got := s.Lacks(copied); got != want {
				t.Errorf("copy %d: lacks %t, want %t", i, got, want)
			}
		}
	}
	old := response(c.next(), "old", 0)
	s.Put("old", nil, old)
	lacks(false, old)
	s.Rewarm()
	fresh, recalled := response(c.next(), "fresh", 0), response(c.next(), "recalled", 0)
	s.Put("fresh", nil, fresh)
	below["recalled"] = recalled
	if _, err := s.Promote(t.Context(), "recalled", nil, now); err != nil {
		t.Fatal(err)
	}
	lacks(false, fresh, recalled)
	lacks(true, old)
	lacks(false, old)
	s.StillLacks(old)
	lacks(true, old)
	s.Rewarm()
	lacks(true, old, fresh, recalled)
	if err := s.WriteFoundBelow(t.Context(), "old", Found{Copy: old, Key: "old"}); err != nil || !counted(below["old"]).same(old) {
		t.Errorf("the tier has %v, %v", below["old"], err)
	}
}

// A tier that is down can be told from one that fails, however many there are.
func TestErrorsOfTiersAreTold(t *testing.T) {
	s := New(NewMemory(8<<20), broken{ErrDown}, box{})
	_, err := s.Promote(t.Context(), "key", nil, now)
	if !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), "tier 1") {
		t.Errorf("%v", err)
	}
}

type broken struct{ err error }

func (b broken) Get(context.Context, string) (Item, error) { return nil, b.err }
func (b broken) Put(context.Context, string, Item) error   { return b.err }
func (b broken) Down() bool                                { return true }

// An error that an instance without a copy has stored does not take the place of one, nor does it beside it, as another
// variant, as long as that may stand in for it.
func TestErrorsGiveWayToWhatMayStandIn(t *testing.T) {
	c := newClock()
	first, second := c.next(), c.next()
	for _, tt := range []struct {
		about          string
		copied, status int
		age            time.Duration // of the copy
		fresh, left    time.Duration // and for how long it may stand in after that
		want           string
	}{
		{"fresh", 200, 503, 0, time.Hour, 0, "copy"},
		{"stale, where the origin fails", 200, 500, time.Minute, time.Second, time.Hour, "copy"},
		{"stale for good", 200, 503, time.Minute, time.Second, time.Second, "later"},
		{"an error itself", 503, 503, 0, time.Hour, 0, "later"},
		{"an answer after it", 200, 404, 0, time.Hour, 0, "later"},
	} {
		copied := func(vary ...string) *Copy {
			one := response(first, "copy", tt.age, vary...)
			life := one.Life()
			life.Fresh, life.StaleIfError, life.InitialAge = tt.fresh, tt.left, tt.age
			one.SetLife(life)
			one.packed.status = uint16(tt.copied)
			return one
		}
		later := func(token invalidation.Token, vary ...string) *Copy {
			one := response(token, "later", -time.Second, vary...)
			one.packed.status = uint16(tt.status)
			return one
		}
		s := New(NewMemory(8<<20), box{"key": later(second)})
		s.Put("key", nil, copied())
		if found, err := s.Promote(t.Context(), "key", nil, now); err != nil || body(found) != tt.want {
			t.Errorf("%s: recalled %q, want %q", tt.about, body(found), tt.want)
		}
		de := headers("X-Lang", "de")
		for _, order := range [][]*Copy{{copied("X-Lang"), later(first, "X-Other")}, {later(first, "X-Other"), copied("X-Lang")}} {
			s := newStore()
			for _, one := range order {
				s.Put("key", de, one)
			}
			expect(t, s, de, tt.want)
		}
	}
}
