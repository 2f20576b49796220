package fill

import (
	"hash/maphash"
	"net/http"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy/httpcache"
)

const (
	// recallPlaces is how many keys are known to have been looked for. Of two that share a place it is the later one.
	recallPlaces = 1024
	// recallAgain is for how long a key that was looked for in vain is left to fills. Their flight is what many who ask for it share.
	recallAgain = time.Second
	// recallCounts is for how long a fill need not look for such a key at once. It looks when it has the right to fetch.
	recallCounts = 100 * time.Millisecond
)

// recalls are the keys that requests have looked for below memory by themselves, without a fill. The zero value is ready. It says nothing
// about a copy: whoever goes by it looks once more than needed, or once less before asking the origin.
type recalls struct {
	seed   maphash.Seed
	places [recallPlaces]recall
}

// recall is one look for a key.
type recall struct {
	mu    lockorder.Mutex[lockorder.Recalls]
	key   uint64    // its hash
	began time.Time // zero: nobody has looked, or found what is wanted
	vain  bool      // it has ended, and there was nothing
}

func (r *recalls) place(key string) (of *recall, hash uint64) {
	hash = maphash.String(r.seed, key)
	return &r.places[hash%recallPlaces], hash
}

// begin reports whether a request may look for a key: not where another one does, or has lately in vain.
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

// end notes what has come of a look.
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

// Recall brings the copy that a tier below memory has for a request header under a storage key into memory, and reports whether it is there
// and fresh. The caller waits for it on its own goroutine. Where others wait for the same, or have a moment ago, it does nothing: a fill,
// which they share, does the same for all of them. Neither key nor header is kept.
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
