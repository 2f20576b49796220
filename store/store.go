package store

import (
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"cacheproxy/policy/httpcache"
)

// Store finds and keeps copies by storage key and, where Vary says so, by request header. It is safe for concurrent use.
type Store struct {
	memory *Memory
	below  []Tier // the nearest first
	round  atomic.Uint32

	// aliased, parted and marked say whether an alias, Parts or a Mark was ever stored; if not, a miss need not make keys to look for one. Each is
	// set before the first is stored.
	aliased, parted, marked atomic.Bool
}

// New makes a store on the memory of the process and the tiers below it, in the order in which they are asked.
func New(m *Memory, below ...Tier) *Store { return &Store{memory: m, below: below} }

// Memory is the tier in this process.
func (s *Store) Memory() *Memory { return s.memory }

// Found is the result of a look-up. It has a reference to Copy: the caller of the look-up must call Release once.
type Found struct {
	// Copy is the copy selected by the request; nil: none.
	Copy *Copy
	// Key is where Copy is stored.
	Key string
	// Variants is set when the URL has variants, whether or not one was selected.
	Variants *Variants
	// Unselected says that there is a copy, but only for requests without a field that this one has.
	Unselected bool
}

// Lookup finds the copy for a request header under a storage key. Only Found.Key may refer to key, which may be in a buffer that is reused. A copy
// answers only if its Vary has every field of selected that the header has.
func (s *Store) Lookup(key string, h http.Header, now time.Time, selected ...string) Found {
	item, ok := s.memory.Take(key)
	if !ok {
		return Found{}
	}
	switch item := item.(type) {
	case *Copy:
		if !httpcache.Selects(item.Vary(), selected, h) {
			item.Release()
			return Found{Unselected: true}
		}
		return Found{Copy: item, Key: key}
	case *Variants:
		return s.selectVariant(key, item, h, now, selected)
	default:
		return Found{}
	}
}

// selectVariant finds the most recent copy that a request header selects (RFC 9111 §4.1). It prefers a copy that may stand in for an error to a copy of
// the error.
func (s *Store) selectVariant(key string, v *Variants, h http.Header, now time.Time, selected []string) Found {
	found := Found{Variants: v}
	for _, names := range v.Selections {
		if !httpcache.Selects(names, selected, h) {
			continue
		}
		variant := string(httpcache.VariantKey(nil, key, names, h))
		item, ok := s.memory.Take(variant)
		if !ok {
			continue
		}
		if c, ok := item.(*Copy); ok {
			found.improve(c, variant, now)
		}
	}
	return found
}

// improve replaces the copy in f by c if c is better, and releases the other one. It takes over the reference to c.
func (f *Found) improve(c *Copy, key string, now time.Time) {
	if !better(c, f.Copy, now) {
		c.Release()
		return
	}
	f.Copy.Release()
	f.Copy, f.Key = c, key
}

// better reports whether c rather than other, which may be nil, answers a request that selects both.
func better(c, other *Copy, now time.Time) bool {
	switch {
	case other == nil:
		return true
	case !httpcache.Displaces(c.Status(), other.Status(), other.Life().State(now)):
		return false
	case !httpcache.Displaces(other.Status(), c.Status(), c.Life().State(now)):
		return true
	}
	return c.Life().Date.After(other.Life().Date)
}

// Put stores a copy, to which the caller has a reference and keeps it, for the request header that fetched it. A copy that was fetched
// before the one that is there does not replace it.
func (s *Store) Put(key string, h http.Header, c *Copy) {
	s.writtenBelow(c)
	var displaced []string
	variant := "" // where the copy goes if not under key itself
	least := s.leastRead(key)
	s.memory.update(key, func(old Item) Item {
		v, varies := old.(*Variants)
		if !varies && (len(c.Vary()) == 0 || later(old, c)) {
			return newer(old, c)
		}
		variant = string(httpcache.VariantKey(nil, key, c.Vary(), h))
		var next *Variants
		next, displaced = v.with(c.Vary(), variant, least)
		return next
	})
	if variant != "" {
		s.memory.update(variant, func(old Item) Item { return newer(old, c) })
	}
	for _, k := range displaced {
		s.memory.Delete(k)
	}
}

// leastRead is the variant of a URL that has to go for another one: the oldest of those that were never read (being fetched is no read), or else the one
// that was not read for the longest time. So a client that makes up values of a field that Vary names displaces its own copies, and not those that are
// read all the time. Empty: there is room for another.
func (s *Store) leastRead(key string) string {
	v := s.memory.variants(key)
	if v == nil || len(v.Keys) < MaxVariants {
		return ""
	}
	least, earliest := "", int64(math.MaxInt64)
	for _, k := range v.Keys {
		if read := s.lastRead(k); read < earliest {
			least, earliest = k, read
		}
	}
	return least
}

// lastRead is when the item under a key, or a variant of it, was last read, by orderOfReads; math.MinInt64: nothing is stored there any more.
func (s *Store) lastRead(key string) int64 {
	read := s.lastReadOf(key)
	if v := s.memory.variants(key); v != nil {
		for _, k := range v.Keys {
			read = max(read, s.lastReadOf(k))
		}
	}
	return read
}

// lastReadOf is lastRead of a copy that is stored under the key itself.
func (s *Store) lastReadOf(key string) int64 {
	read := int64(math.MinInt64)
	s.memory.peek(key, func(item Item) {
		if c, ok := item.(*Copy); ok {
			read = orderOfReads(c.Use.read.Load(), time.Now())
		}
	})
	return read
}

// newer is c, unless old is a copy that was fetched later. A copy that replaces another inherits when that was last read: otherwise a copy that is renewed
// often would be the first to be dropped.
func newer(old Item, c *Copy) Item {
	if later(old, c) {
		return old
	}
	if o, ok := old.(*Copy); ok && o != c {
		c.Use.read.Store(o.Use.read.Load())
	}
	return c
}

// later reports whether old is a copy that was fetched after c.
func later(old Item, c *Copy) bool {
	o, ok := old.(*Copy)
	return ok && c.Stamp.Token().Before(o.Stamp.Token())
}

// Drop removes a copy that turned out to be unusable, and to which the caller has a reference.
func (s *Store) Drop(key string, c *Copy) { s.memory.deleteCopy(key, c) }
