package store

import (
	"math"
	"slices"
	"time"
	"unsafe"
)

// What is told apart by what clients prefer has storage keys of its own, all of which begin with that of the URL. So that a client which
// makes up preferences fills no memory with copies of one URL, the keys are listed beside them. A read does not look at the list: a copy
// that is found is right, whatever the list says. The list may be evicted before the copies are; then it begins anew.

// preferencesKey is where the list of a URL is. The keys in it are longer, and others that begin with the URL's go on otherwise.
func preferencesKey(url string) string { return url + string(preferencesMark) }

const preferencesMark = 'n'

// Preferred notes that copy c of a URL is stored under key, which begins with the URL's and says what the client prefers, and lets go of
// copies that were not read for the longest where there are more than MaxVariants, those counted that Vary tells apart under each key. It
// returns the keys, which must not be changed; under some may be nothing.
func (s *Store) Preferred(url, key string, c *Copy) []string {
	keys := s.preferredKeys(url, key)
	for len(keys) > 1 && s.letGoOfOne(keys, c) { // under one key Put sees to it
	}
	return keys
}

// preferredKeys are the keys under which copies of a URL are, with key among them.
func (s *Store) preferredKeys(url, key string) []string {
	at, least := preferencesKey(url), ""
	if v := s.memory.variants(at); v != nil {
		if slices.Contains(v.Keys, key) {
			return v.Keys
		}
		least = s.leastRead(at)
	}
	var next *Variants
	var displaced []string
	s.memory.update(at, func(old Item) Item {
		v, _ := old.(*Variants)
		if v != nil && slices.Contains(v.Keys, key) {
			next, displaced = v, nil
			return v
		}
		next, displaced = v.with(nil, key, least)
		return next
	})
	for _, k := range displaced {
		s.forget(k)
		s.forget(partsKey(k))
	}
	return next.Keys
}

// letGoOfOne lets go of the copy that was not read for the longest, but for c, where there are more than MaxVariants under keys. It
// reports whether it has.
func (s *Store) letGoOfOne(keys []string, c *Copy) bool {
	copies, earliest := 0, int64(math.MaxInt64)
	var least, under string
	for _, key := range keys {
		stored := []string{key}
		if v := s.memory.variants(key); v != nil {
			stored = v.Keys
		}
		for _, k := range stored {
			s.memory.peek(k, func(item Item) {
				found, ok := item.(*Copy)
				if !ok {
					return
				}
				copies++
				if read := orderOfReads(found.Use.read.Load(), time.Now()); !found.same(c) && read < earliest {
					least, under, earliest = k, key, read
				}
			})
		}
	}
	if copies <= MaxVariants || least == "" {
		return false
	}
	if least == under {
		s.forget(least)
		s.memory.Delete(partsKey(least))
	} else {
		s.memory.deleteVariant(under, least)
	}
	return true
}

// OtherPreferred reports whether copies of a URL were stored for clients that prefer something else, and none under key, of which the first
// bytes are the URL's. The key is not kept.
func (s *Store) OtherPreferred(key []byte, url int) bool {
	var buf [256]byte
	at := append(append(buf[:0], key[:url]...), preferencesMark)
	v := s.memory.variants(unsafe.String(unsafe.SliceData(at), len(at)))
	return v != nil && !slices.ContainsFunc(v.Keys, func(k string) bool { return k == string(key) })
}

// forget removes what is stored under a key, with all that Vary tells apart there.
func (s *Store) forget(key string) {
	if v := s.memory.variants(key); v != nil {
		for _, k := range v.Keys {
			s.memory.Delete(k)
		}
	}
	s.memory.Delete(key)
}
