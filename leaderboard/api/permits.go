package api

import (
	"crypto/sha256"
	"time"

	"cacheproxy/lockorder"
)

// Permit is the permission that a service has given to a client.
type Permit struct {
	Player string // the only player that the client may submit as; empty: the service names none
	until  time.Time
}

const (
	// permitted is how long a permission is remembered. A client keeps a withdrawn permission for that long at most.
	permitted = 5 * time.Second
	// maxPermits bounds the number of remembered permissions.
	maxPermits = 10_000
)

// Permits remembers permissions for a short time. Refusals are not remembered: a client may be permitted at its next
// request. The zero value is ready, and safe for concurrent use.
type Permits struct {
	mu    lockorder.Mutex[lockorder.Permits]
	known map[[sha256.Size]byte]Permit
}

// Find returns the remembered permission for a question. The question has to contain everything on which the service
// may have based its answer.
func (p *Permits) Find(question string, now time.Time) (Permit, bool) {
	id := sha256.Sum256([]byte(question))
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.known[id]
	return found, ok && now.Before(found.until)
}

// Keep remembers the answer to a question that was asked at a time.
func (p *Permits) Keep(question string, permit Permit, asked time.Time) {
	id := sha256.Sum256([]byte(question))
	permit.until = asked.Add(permitted)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxPermits {
		p.known = map[[sha256.Size]byte]Permit{} // each is asked for again, which costs one request
	}
	p.known[id] = permit
}
