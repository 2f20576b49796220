package store

import (
	"net/netip"
	"sync/atomic"

	"cacheproxy/lockorder"
)

const (
	// fillShare is the divisor of the memory for fills in flight: these may take one fourth.
	fillShare = 4
	// requestShare is the divisor of the memory for the bodies of requests: these may take one eighth. leastRequests is
	// how many bytes these may take in any case, even of a small memory.
	requestShare  = 8
	leastRequests = 4 << 20
	// budgetStep is by how many bytes the reservations must have moved before moved tells the cache.
	budgetStep = 1 << 20
)

// Budget counts the bytes of bodies that are under way, for which the stored copies make room. The bodies are those of
// answers that fills fetch and, in a share of their own, those of requests. A Budget is safe for concurrent use.
type Budget struct {
	// changed has the copies make room for the reserved bytes. The Budget calls changed with mu held, so that calls
	// come in the order of the changes. Without mu, goroutine A could reserve, goroutine B reserve more and call
	// changed, and A's late call would set the room back. changed must not call the Budget.
	changed func(reserved int64)

	mu       lockorder.Mutex[lockorder.Budget]
	limit    int64                  // guarded by mu
	reserved int64                  // for answers; guarded by mu
	requests int64                  // for requests; guarded by mu
	of       map[netip.Prefix]int64 // part of requests by client; nil: no client ever had any; guarded by mu
	told     int64                  // the argument of the last call of changed; guarded by mu
}

// Reserve takes n bytes for an answer, and reports false where fills in flight hold all that they may.
func (b *Budget) Reserve(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit-b.reserved { // in this form no n overflows
		return false
	}
	b.reserved += n
	b.moved()
	return true
}

// ReserveSpare is Reserve for bytes that must not keep fills from being stored. ReserveSpare leaves half of the limit
// to fills.
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

// Reserved is the number of bytes that answers and requests hold.
func (b *Budget) Reserved() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved + b.requests
}

// resize changes the limit. Fills in flight keep the bytes that they hold.
func (b *Budget) resize(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.told = b.reserved + b.requests
	b.changed(b.told)
}

// moved calls changed where the sum has moved by budgetStep or more since the last call. The caller holds mu.
func (b *Budget) moved() {
	now := b.reserved + b.requests
	if d := now - b.told; d >= budgetStep || d <= -budgetStep {
		b.told = now
		b.changed(now)
	}
}

// Room is the memory that one request's body takes of a Budget. The request has a reference, and so has each goroutine
// that outlives the request with its body, such as a fetch. Release of the last reference gives the memory back.
type Room struct {
	budget     *Budget
	client     netip.Prefix
	bytes      int64 // only the first owner writes it, before there are other references
	references atomic.Int32
}

// Room returns a Room of no bytes, with one reference, on the account of a client. The zero Prefix stands for no client
// in particular.
func (b *Budget) Room(client netip.Prefix) *Room {
	r := &Room{budget: b, client: client}
	r.references.Store(1)
	return r
}

// Grow takes n bytes more. Grow reports false where the bodies of requests hold all that they may, or where the client
// would hold more than Grow leaves to other clients. So one client alone gets half of the share, two get a third each,
// and a newcomer always finds some bytes free. The caller must have the only reference.
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

// Hold adds a reference. A nil Room counts none.
func (r *Room) Hold() {
	if r != nil {
		r.references.Add(1)
	}
}

// Release gives a reference back. A nil Room counts none.
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

// account adds n bytes to those of a client. The caller holds mu.
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
