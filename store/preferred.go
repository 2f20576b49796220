package store

import (
	"math"
	"slices"
	"time"
	"unsafe"
)

// Copies that the clients' preferences tell apart have storage keys of their own, all of which begin with the key of
// the URL. A list beside them has these keys, so that a client which makes up preferences cannot fill memory with
// copies of one URL. A look-up of a copy does not read the list: a copy that is found is right, whatever the list says.
// The list may be evicted before the copies are; then a new list begins.

// preferencesKey is the key of the list of a URL. The keys in the list are longer, and all other keys that begin with
// the URL's key go on with another byte.
func preferencesKey(url string) string { return url + string(preferencesMark) }

const preferencesMark = 'n'

// Preferred notes that copy c of a URL is stored under key, which begins with the key of the URL and says the client's
// preferences. If the URL has more than MaxVariants copies, those of Vary included, Preferred removes the copies that
// were not read for the longest. Preferred returns the listed keys, which the caller must not change. Some of the keys
// may have no copy any more.
func (s *Store) Preferred(url, key string, c *Copy) []string {
	keys := s.preferredKeys(url, key)
	for len(keys) > 1 && s.dropLeastRead(keys, c) { // Put bounds the copies under one key
	}
	return keys
}

// preferredKeys are the keys with copies of a URL. preferredKeys adds key if the list lacks it.
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

// dropLeastRead removes the copy other than c that was not read for the longest, where the keys have more than MaxVariants
// copies, and reports whether it has.
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

// OtherPreferred reports whether copies of a URL were stored for clients with other preferences, but none under key.
// The first url bytes of key are the key of the URL. The key is not kept.
func (s *Store) OtherPreferred(key []byte, url int) bool {
	var buf [256]byte
	at := append(append(buf[:0], key[:url]...), preferencesMark)
	v := s.memory.variants(unsafe.String(unsafe.SliceData(at), len(at)))
	return v != nil && !slices.ContainsFunc(v.Keys, func(k string) bool { return k == string(key) })
}

// forget removes the item under a key, with all its variants.
func (s *Store) forget(key string) {
	if v := s.memory.variants(key); v != nil {
		for _, k := range v.Keys {
			s.memory.Delete(k)
		}
	}
	s.memory.Delete(key)
}
