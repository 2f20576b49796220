package store

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"
)

var alphabet = []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

// stretch makes the part of the alphabet from first to last.
func stretch(c *clock, first, last int64, vary ...string) *Parts {
	of := NewCopy(206, http.Header{"Etag": {`"v"`}}, nil)
	of.SetLife(response(c.next(), "", 0).Life())
	of.SetVary(vary)
	of.Stamp.Set(c.ledger.Token())
	return NewParts(of, httpcache.PartOf{Span: httpcache.Span{First: first, Last: last}, Size: int64(len(alphabet))}, bytes.Clone(alphabet[first:last+1]))
}

func always(*Parts) bool { return true }

// Whatever comes in whatever order, what is there is exactly what came, and its bytes are those of the whole.
func TestPartsAreJoined(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	size := int64(len(alphabet))
	for range 300 {
		s, c := New(NewMemory(1<<20)), newClock()
		var came [26]bool
		for range 1 + random.IntN(8) {
			first := random.Int64N(size)
			last := first + random.Int64N(size-first)
			for i := first; i <= last; i++ {
				came[i] = true
			}
			s.PutParts("key", nil, stretch(c, first, last), 1<<10, always)
		}
		p := s.LookupParts("key", nil)
		var there [26]bool
		for i, span := range p.Have() {
			if i > 0 && p.Have()[i-1].Last+1 >= span.First {
				t.Fatalf("neighbours are apart: %v", p.Have())
			}
			for i := span.First; i <= span.Last; i++ {
				there[i] = true
			}
			if got := bytes.Join(p.Bytes(span), nil); !bytes.Equal(got, alphabet[span.First:span.Last+1]) {
				t.Fatalf("%v is %q", span, got)
			}
		}
		if there != came {
			t.Fatalf("%v is there, %v came", there, came)
		}
		whole, ok := p.Whole()
		if ok != all(came) || ok && !bytes.Equal(whole, alphabet) {
			t.Fatalf("whole: %q, %v", whole, ok)
		}
		holes := p.holes()
		gap, one := p.Missing()
		if one != (len(holes) == 1) || one && gap != holes[0] {
			t.Fatalf("missing: %v, %v of %v", gap, one, holes)
		}
	}
}

func all(came [26]bool) bool {
	for _, c := range came {
		if !c {
			return false
		}
	}
	return true
}

func TestPartsAreNeverACopy(t *testing.T) {
	s, c := New(NewMemory(1<<20)), newClock()
	s.PutParts("key", nil, stretch(c, 0, 25), 1<<10, always)
	expect(t, s, nil, "")
	s.Put("key", nil, response(c.next(), "whole", 0))
	if got := s.LookupParts("key", nil); got == nil || len(got.Have()) != 1 {
		t.Fatalf("parts after a copy came: %v", got)
	}
	expect(t, s, nil, "whole")
	s.DropParts("key", nil)
	if s.LookupParts("key", nil) != nil {
		t.Error("dropped parts are there")
	}
	expect(t, s, nil, "whole")
}

func TestPartsThatDoNotBelongTogether(t *testing.T) {
	never := func(*Parts) bool { return false }
	other := func(c *clock) *Parts { p := stretch(c, 10, 12); p.Size++; return p }
	for _, tt := range []struct {
		about   string
		next    func(*clock) *Parts
		combine func(*Parts) bool
		limit   int64
	}{
		{"no strong validator in common", func(c *clock) *Parts { return stretch(c, 10, 12) }, never, 1 << 10},
		{"another size", other, always, 1 << 10},
		{"more than may be kept", func(c *clock) *Parts { return stretch(c, 10, 12) }, always, 7},
	} {
		s, c := New(NewMemory(1<<20)), newClock()
		s.PutParts("key", nil, stretch(c, 0, 4), 1<<10, always)
		s.PutParts("key", nil, tt.next(c), tt.limit, tt.combine)
		if have := s.LookupParts("key", nil).Have(); len(have) != 1 || have[0] != (httpcache.Span{First: 10, Last: 12}) {
			t.Errorf("%s: %v", tt.about, have)
		}
	}
}

func TestPartsKeepBothMembers(t *testing.T) {
	s, c := New(NewMemory(1<<20)), newClock()
	first, second := stretch(c, 0, 4), stretch(c, 5, 9)
	first.Of.SetMembers([]invalidation.ID{1, 2})
	second.Of.SetMembers([]invalidation.ID{2, 3})
	s.PutParts("key", nil, first, 1<<10, always)
	now := s.PutParts("key", nil, second, 1<<10, always)
	if got := now.Of.Members(); len(got) != 3 {
		t.Errorf("members: %v", got)
	}
	if now.Of.Stamp.Token() != second.Of.Stamp.Token() {
		t.Error("not the stamp of what came last")
	}
}

func TestPartsVary(t *testing.T) {
	s, c := New(NewMemory(1<<20)), newClock()
	de, fr := headers("X-Lang", "de"), headers("X-Lang", "fr")
	s.PutParts("key", de, stretch(c, 0, 4, "X-Lang"), 1<<10, always)
	s.PutParts("key", fr, stretch(c, 10, 14, "X-Lang"), 1<<10, always)
	for _, tt := range []struct {
		h     http.Header
		first int64
	}{{de, 0}, {fr, 10}} {
		if p := s.LookupParts("key", tt.h); p == nil || p.Have()[0].First != tt.first {
			t.Errorf("%v: %v", tt.h, p)
		}
	}
	if p := s.LookupParts("key", headers("X-Lang", "it")); p != nil {
		t.Errorf("a third language: %v", p.Have())
	}
	s.DropParts("key", de)
	if s.LookupParts("key", de) != nil || s.LookupParts("key", fr) == nil {
		t.Error("one variant is dropped, the other is not")
	}
}

// A client that asks for every second byte does not make a list of a million pieces.
func TestPiecesAreBounded(t *testing.T) {
	s, c := New(NewMemory(1<<20)), newClock()
	for i := range int64(3 * maxPieces) {
		of := NewCopy(206, nil, nil)
		of.Stamp.Set(c.ledger.Token())
		s.PutParts("key", nil, NewParts(of, httpcache.PartOf{Span: httpcache.Span{First: 2 * i, Last: 2 * i}, Size: 1 << 20}, []byte{1}), 1<<20, always)
		if n := len(s.LookupParts("key", nil).pieces); n > maxPieces {
			t.Fatalf("%d pieces", n)
		}
	}
}
