package store

import (
	"math"
	"slices"
	"time"
	"unsafe"
)

// Copies that are kept apart by what clients prefer have storage keys of their own, all of which begin with the URL's key. They are listed, so that a
// client that makes up preferences cannot fill the memory with copies of one URL. A read does not look at the list: a copy that it finds is right,
// whatever the list says. The list may be evicted before the copies; then a new list begins.

// preferencesKey is the key of a URL's list. No storage key with the URL's key as its prefix goes on with preferencesMark alone.
func preferencesKey(url string) string { return url + string(preferencesMark) }

const preferencesMark = 'n'

// Preferred lists that copy c of a URL is stored under key, which begins with url. If the URL then has more than MaxVariants copies, those that Vary
// keeps apart under each key included, it drops the copies that were not read for the longest time, except c. It returns the listed keys, which must
// not be changed; some may have no copy any more.
func (s *Store) Preferred(url, key string, c *Copy) []string {
	keys := s.preferredKeys(url, key)
	for len(keys) > 1 && s.dropLeastRead(keys, c) { // with one key, Put keeps to the limit
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

// dropLeastRead drops the copy that was not read for the longest time, except c, if there are more than MaxVariants under keys. It reports whether it has
// dropped one.
func (s *Store) dropLeastRead(keys []string, c *Copy) bool {
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

// OtherPreferred reports whether copies of a URL are listed for clients with other preferences, and none under key. The first url bytes of key are the
// URL's key. key is not kept.
func (s *Store) OtherPreferred(key []byte, url int) bool {
	var buf [256]byte
	at := append(append(buf[:0], key[:url]...), preferencesMark)
	v := s.memory.variants(unsafe.String(unsafe.SliceData(at), len(at)))
	return v != nil && !slices.ContainsFunc(v.Keys, func(k string) bool { return k == string(key) })
}

// forget removes the item under a key, and all its variants.
func (s *Store) forget(key string) {
	if v := s.memory.variants(key); v != nil {
		for _, k := range v.Keys {
			s.memory.Delete(k)
		}
	}
	s.memory.Delete(key)
}
