package fill

import (
	"hash/maphash"
	"net/http"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy/httpcache"
)

const (
	// recallPlaces is the number of places for the look-ups of keys. A look-up replaces that of another key in the
	// same place.
	recallPlaces = 1024
	// recallAgain is how long after the beginning of a look-up no other request looks for the key by itself, unless
	// the look-up has found a copy. Such requests share a flight instead.
	recallAgain = time.Second
	// recallCounts is how long after the beginning of a look-up without result a fill looks into the tiers only once
	// the fill has the claim.
	recallCounts = 100 * time.Millisecond
)

// recalls remembers the keys that requests have looked for below memory by themselves, without a fill. The memory is
// a hint. If the hint is wrong, a fill asks a tier once more than needed, or once less before the fill asks the
// origin. seed must be set before use.
type recalls struct {
	seed   maphash.Seed
	places [recallPlaces]recall
}

// recall is one look-up of a key. mu guards the fields.
type recall struct {
	mu    lockorder.Mutex[lockorder.Recalls]
	key   uint64    // hash of the key
	began time.Time // zero: no look-up, or the look-up has found the copy
	vain  bool      // the look-up has ended without a copy
}

func (r *recalls) place(key string) (of *recall, hash uint64) {
	hash = maphash.String(r.seed, key)
	return &r.places[hash%recallPlaces], hash
}

// begin reports whether a request may look for a key, and notes its look-up. False: a look-up of the key began less
// than recallAgain ago, and has found no copy so far.
func (r *recalls) begin(key string, now time.Time) bool {
	of, hash := r.place(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.key == hash && now.Sub(of.began) < recallAgain {
		return false
	}
	of.key, of.began, of.vain = hash, now, false
	return true
}

// end notes the result of a look-up.
func (r *recalls) end(key string, found bool) {
	of, hash := r.place(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	switch {
	case of.key != hash:
	case found:
		of.began = time.Time{}
	default:
		of.vain = true
	}
}

// inVain reports whether a look-up of the key has begun less than recallCounts ago, and has ended without a copy.
func (r *recalls) inVain(key string, now time.Time) bool {
	of, hash := r.place(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.key == hash && of.vain && now.Sub(of.began) < recallCounts
}

// Recall promotes the copy that a tier below memory has for a request header under a storage key, and reports whether
// the copy is fresh. Recall blocks while a tier is asked. If another request is looking for the key, or has just
// found no copy, Recall does nothing: a fill, which requests share, then looks once for all. url is the length of the
// part of key that all preferences share. Recall keeps neither key nor header.
func (f *Filler) Recall(r *Route, key string, url int, h http.Header, now time.Time) (fresh bool) {
	if !f.store.Deep() || f.store.Down() || !f.tasks.begin() {
		return false
	}
	defer f.tasks.end()
	if !f.recalls.begin(key, now) {
		return false
	}
	defer func() { f.recalls.end(key, fresh) }()
	found := f.tiers.promote(f.lifetime, r, key, h, now)
	defer found.Release()
	if found.Copy == nil {
		return false
	}
	if url < len(key) {
		f.store.Preferred(key[:url], key, found.Copy)
	}
	use, _ := r.Usable(found.Copy, f.ledger, time.Now())
	return use == httpcache.Fresh
}
