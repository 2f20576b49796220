package store

import (
	"net/netip"
	"sync/atomic"

	"cacheproxy/lockorder"
)

const (
	// fillShare is the part of the memory that fills in flight may take: one fourth.
	fillShare = 4
	// requestShare is the part that the bodies of requests may take, one eighth, and leastRequests what they may in any case, in bytes.
	requestShare  = 8
	leastRequests = 4 << 20
	// budgetStep is how far reservations move, in bytes, before the cache's maximum follows.
	budgetStep = 1 << 20
)

// Budget counts the bytes of bodies in memory that are no copies, and for which copies are evicted: of answers that are being fetched, and of requests,
// which have a share of their own. It is safe for concurrent use.
type Budget struct {
	// changed evicts copies to make room for reserved bytes. It is called with mu held: otherwise, of two calls, the one with the older value
	// could come last. It must not call the Budget.
	changed func(reserved int64)

	mu       lockorder.Mutex[lockorder.Budget]
	limit    int64                  // guarded by mu
	reserved int64                  // bytes of answers; guarded by mu
	requests int64                  // bytes of requests; guarded by mu
	of       map[netip.Prefix]int64 // requests by client, only clients that have any; nil: none ever had; guarded by mu
	told     int64                  // the argument of the last call of changed; guarded by mu
}

// Reserve takes n bytes for an answer. It reports false, and takes none, if fills hold all they may.
func (b *Budget) Reserve(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit-b.reserved { // so written, no n overflows
		return false
	}
	b.reserved += n
	b.moved()
	return true
}

// ReserveSpare is Reserve for bytes that are not needed to store a copy: it leaves half of the limit to fills.
func (b *Budget) ReserveSpare(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit/2-b.reserved {
		return false
	}
	b.reserved += n
	b.moved()
	return true
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved -= n
	b.moved()
}

// Reserved is the number of bytes taken, for answers and requests.
func (b *Budget) Reserved() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved + b.requests
}

// resize changes the limit. Fills in flight keep what they have.
func (b *Budget) resize(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.told = b.reserved + b.requests
	b.changed(b.told)
}

// moved calls changed if the reservations have changed by budgetStep since its last call. The caller holds mu.
func (b *Budget) moved() {
	now := b.reserved + b.requests
	if d := now - b.told; d >= budgetStep || d <= -budgetStep {
		b.told = now
		b.changed(now)
	}
}

// Room is the memory of a Budget that one request's body takes. It is counted by references: the request has one, and so has everything else that uses
// the body and may outlive the request, such as a fetch with its content. The last Release gives the memory back.
type Room struct {
	budget     *Budget
	client     netip.Prefix
	bytes      int64 // written by the first owner alone, before there are others
	references atomic.Int32
}

// Room returns an empty Room with one reference, charged to a client; the zero Prefix: to nobody in particular.
func (b *Budget) Room(client netip.Prefix) *Room {
	r := &Room{budget: b, client: client}
	r.references.Store(1)
	return r
}

// Grow takes n more bytes. It reports false, and takes none, if the bodies of all requests hold all they may, or if the client would then hold more than
// is left for others. So a single client can have half of the share, two can have a third each, and a further client always finds some. There must be
// only one reference yet.
func (r *Room) Grow(n int64) bool {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	left := max(b.limit*fillShare/requestShare, leastRequests) - b.requests
	if n > left || r.client.IsValid() && b.of[r.client]+n > left-n {
		return false
	}
	b.account(r.client, n)
	b.requests += n
	r.bytes += n
	b.moved()
	return true
}

// Hold adds a reference. Nil has none.
func (r *Room) Hold() {
	if r != nil {
		r.references.Add(1)
	}
}

// Release gives a reference back. Nil has none.
func (r *Room) Release() {
	if r == nil || r.references.Add(-1) > 0 {
		return
	}
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.account(r.client, -r.bytes)
	b.requests -= r.bytes
	b.moved()
}

// account adds n bytes to what a client holds. The caller holds mu.
func (b *Budget) account(client netip.Prefix, n int64) {
	if !client.IsValid() {
		return
	}
	if b.of == nil {
		b.of = make(map[netip.Prefix]int64)
	}
	if b.of[client] += n; b.of[client] == 0 {
		delete(b.of, client)
	}
}
