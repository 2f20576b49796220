package fill

import (
	"hash/maphash"
	"net/http"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy/httpcache"
)

const (
	// recallPlaces is for how many keys look-ups are remembered. Of two keys that share a place, the later one is.
	recallPlaces = 1024
	// recallAgain is for how long after a look-up in vain a key is not looked for without a fill. Requests share a flight instead.
	recallAgain = time.Second
	// recallCounts is for how long after a look-up in vain a fill looks into the tiers only when it has the claim.
	recallCounts = 100 * time.Millisecond
)

// recalls remembers which keys requests have looked for below memory by themselves, without a fill. It is a hint: where it is wrong, a tier is asked
// once more than needed, or once less before the origin is asked. seed must be set before use.
type recalls struct {
	seed   maphash.Seed
	places [recallPlaces]recall
}

// recall is one look for a key.
type recall struct {
	mu    lockorder.Mutex[lockorder.Recalls]
	key   uint64    // its hash
	began time.Time // zero: there was no look-up, or it has found the copy
	vain  bool      // the look-up has ended without a copy
}

func (r *recalls) place(key string) (of *recall, hash uint64) {
	hash = maphash.String(r.seed, key)
	return &r.places[hash%recallPlaces], hash
}

// begin reports whether a request may look for a key: not while another request does, nor for recallAgain after one has begun in vain.
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

// inVain reports whether a key was looked for a moment ago, and not found.
func (r *recalls) inVain(key string, now time.Time) bool {
	of, hash := r.place(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.key == hash && of.vain && now.Sub(of.began) < recallCounts
}

// Recall brings the copy that a tier below memory has for a request header under a storage key into memory, and reports whether the copy is fresh. It
// blocks while it asks the tier. If another request is looking for the key, or has just done so in vain, it does nothing: a fill, which requests
// share, then looks once for all. url is the length of the part of key that all preferences share. Neither key nor header is kept.
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
