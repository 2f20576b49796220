package store

import (
	"net/http"
	"slices"

	"cacheproxy/policy/httpcache"
)

// Parts has the stored parts of one incomplete response (RFC 9111 §3.3). It is an Item of its own, under a key of its own, so that a look-up of a Copy
// cannot take it for one. It is immutable, and is not written to the tiers below memory. References to it are counted in Of.
type Parts struct {
	// Of describes the response as it last came: header of the whole, lifetime, members and stamp. It has status 206 and
	// no body.
	Of *Copy
	// Size is how long the whole is, in bytes.
	Size int64

	pieces []piece // sorted, without overlaps, each of at least one byte
}

// piece is a stretch of the whole that came in one response.
type piece struct {
	first int64
	bytes []byte
}

func (p piece) end() int64 { return p.first + int64(len(p.bytes)) }

// maxPieces bounds how many pieces there may be: a client that asks for single bytes must not make a long list of them.
const maxPieces = 256

// NewParts makes Parts of one part of a response. data must not be empty. The caller's reference to of becomes one to the Parts.
func NewParts(of *Copy, part httpcache.PartOf, data []byte) *Parts {
	return &Parts{Of: of, Size: part.Size, pieces: []piece{{first: part.First, bytes: data}}}
}

// Have lists the stretches that are there, in order; neighbours are one.
func (p *Parts) Have() []httpcache.Span {
	var have []httpcache.Span
	for _, x := range p.pieces {
		if n := len(have); n > 0 && have[n-1].Last+1 == x.first {
			have[n-1].Last = x.end() - 1
			continue
		}
		have = append(have, httpcache.Span{First: x.first, Last: x.end() - 1})
	}
	return have
}

// Bytes returns the bytes of a stretch that lies within one of Have, in as many slices as they came in. The caller must have a reference to the parts,
// may read the bytes until it gives the reference back, and must not write to them.
func (p *Parts) Bytes(s httpcache.Span) [][]byte {
	var parts [][]byte
	for _, x := range p.pieces {
		if first, end := max(x.first, s.First), min(x.end(), s.Last+1); first < end {
			parts = append(parts, x.bytes[first-x.first:end-x.first])
		}
	}
	return parts
}

// Missing is the one stretch that is not there; ok is false when there are several, or none.
func (p *Parts) Missing() (gap httpcache.Span, ok bool) {
	have := p.Have()
	switch first, last := have[0], have[len(have)-1]; {
	case len(have) == 1 && first.First == 0 && last.Last < p.Size-1:
		return httpcache.Span{First: last.Last + 1, Last: p.Size - 1}, true
	case len(have) == 1 && first.First > 0 && last.Last == p.Size-1:
		return httpcache.Span{First: 0, Last: first.First - 1}, true
	case len(have) == 2 && first.First == 0 && last.Last == p.Size-1:
		return httpcache.Span{First: first.Last + 1, Last: last.First - 1}, true
	}
	return httpcache.Span{}, false
}

// Whole is the body, when all of it is there.
func (p *Parts) Whole() (body []byte, ok bool) {
	if have := p.Have(); have[0] != (httpcache.Span{First: 0, Last: p.Size - 1}) {
		return nil, false
	}
	body = make([]byte, 0, p.Size)
	for _, x := range p.pieces {
		body = append(body, x.bytes...)
	}
	return body, true
}

// with combines p with older parts of the same whole. Where both have bytes, those of p stay. If there would be more than limit bytes or maxPieces, it
// returns p. The caller must have references to both, and gets one to the result.
func (p *Parts) with(older *Parts, limit int64) *Parts {
	next := &Parts{Size: p.Size, pieces: slices.Clone(p.pieces)}
	for _, x := range older.pieces {
		for _, hole := range p.holes() {
			if first, end := max(x.first, hole.First), min(x.end(), hole.Last+1); first < end {
				// Cloned, so that a small rest of a large part does not keep all of it in memory.
				kept := x.bytes[first-x.first : end-x.first]
				if len(kept) < len(x.bytes) {
					kept = slices.Clone(kept)
				}
				next.pieces = append(next.pieces, piece{first, kept})
			}
		}
	}
	if len(next.pieces) > maxPieces || next.bytes() > limit {
		p.Of.Hold()
		return p
	}
	next.Of = updated(older.Of, p.Of)
	slices.SortFunc(next.pieces, func(a, b piece) int { return int(min(max(a.first-b.first, -1), 1)) })
	return next
}

// updated returns the description of a response of which another part has come: newer header fields replace older ones (RFC 9111 §3.4), and it has the
// members of both, so that a purge of either part hits all.
func updated(older, newer *Copy) *Copy {
	header := older.Header()
	newer.copyHeader(header)
	c := newer.WithHeader(header)
	c.SetLife(newer.Life())
	members := slices.Concat(newer.Members(), older.Members())
	slices.Sort(members)
	c.SetMembers(slices.Clip(slices.Compact(members)))
	c.Stamp.Set(newer.Stamp.Token())
	return c
}

// holes are the stretches that are not there.
func (p *Parts) holes() []httpcache.Span {
	var holes []httpcache.Span
	at := int64(0)
	for _, s := range p.Have() {
		if s.First > at {
			holes = append(holes, httpcache.Span{First: at, Last: s.First - 1})
		}
		at = s.Last + 1
	}
	if at < p.Size {
		holes = append(holes, httpcache.Span{First: at, Last: p.Size - 1})
	}
	return holes
}

func (p *Parts) bytes() int64 {
	n := int64(0)
	for _, x := range p.pieces {
		n += int64(len(x.bytes))
	}
	return n
}

func (p *Parts) cost() int {
	n := otherOverhead + p.Of.cost() + 32*cap(p.pieces)
	for _, x := range p.pieces {
		n += allocated(cap(x.bytes))
	}
	return n
}

// partsKey is the key under which the parts for a storage key are stored. No storage key is a prefix of another.
func partsKey(key string) string { return key + "p" }

// LookupParts finds the parts for a request header under a storage key, and gives a reference to them; nil: none are there.
func (s *Store) LookupParts(key string, h http.Header) *Parts {
	if !s.parted.Load() {
		return nil
	}
	item, _ := s.memory.Take(partsKey(key))
	switch item := item.(type) {
	case *Parts:
		return item
	case *Variants:
		var found *Parts
		for _, names := range item.Selections {
			other, _ := s.memory.Take(string(httpcache.VariantKey(nil, partsKey(key), names, h)))
			p, ok := other.(*Parts)
			if !ok {
				continue
			}
			if found == nil || p.Of.Life().Date.After(found.Of.Life().Date) {
				p, found = found, p
			}
			p.Release()
		}
		return found
	default:
		return nil
	}
}

// PutParts stores a part for the request header that has fetched it. It returns the Parts that are stored now, with a reference: the part combined with
// stored parts, if combine allows that and there are at most limit bytes. The caller must have a reference to p, and keeps it. combine is called
// within the atomic update of the key.
func (s *Store) PutParts(key string, h http.Header, p *Parts, limit int64, combine func(older *Parts) bool) *Parts {
	s.parted.Store(true)
	now := p
	merge := func(old Item) Item {
		if older, ok := old.(*Parts); ok && older.Size == p.Size && combine(older) {
			now = p.with(older, limit)
		} else {
			p.Of.Hold()
		}
		return now
	}
	variant := ""
	var displaced []string
	s.memory.update(partsKey(key), func(old Item) Item {
		v, varies := old.(*Variants)
		if !varies && len(p.Of.Vary()) == 0 {
			return merge(old)
		}
		variant = string(httpcache.VariantKey(nil, partsKey(key), p.Of.Vary(), h))
		var next *Variants
		next, displaced = v.with(p.Of.Vary(), variant, "")
		return next
	})
	if variant != "" {
		s.memory.update(variant, merge)
	}
	for _, k := range displaced {
		s.memory.Delete(k)
	}
	return now
}

// DropParts forgets the parts of what is complete now.
func (s *Store) DropParts(key string, h http.Header) {
	if v := s.memory.variants(partsKey(key)); v != nil {
		for _, names := range v.Selections {
			s.memory.Delete(string(httpcache.VariantKey(nil, partsKey(key), names, h)))
		}
		return
	}
	s.memory.Delete(partsKey(key))
}
