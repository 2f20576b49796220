package api

import (
	"crypto/sha256"
	"time"

	"cacheproxy/lockorder"
)

// Permit is what a service has allowed a client.
type Permit struct {
	Player string // as whom it may submit, and as nobody else; empty: the service does not say
	until  time.Time
}

const (
	// permitted is for how long a permission is remembered: a client whose access was taken away has it as long at most.
	permitted = 5 * time.Second
	// maxPermits bounds what is remembered.
	maxPermits = 10_000
)

// Permits remembers for a short time whom a service has allowed what. Refusals are not remembered: who was refused may be allowed at the
// next request. The zero value is ready, and safe for concurrent use.
type Permits struct {
	mu    lockorder.Mutex[lockorder.Permits]
	known map[[sha256.Size]byte]Permit
}

// Find gives what is known of a question. It holds everything that the service could have gone by.
func (p *Permits) Find(question string, now time.Time) (Permit, bool) {
	id := sha256.Sum256([]byte(question))
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.known[id]
	return found, ok && now.Before(found.until)
}

// Keep remembers an answer that came to a question asked at a time.
func (p *Permits) Keep(question string, permit Permit, asked time.Time) {
	id := sha256.Sum256([]byte(question))
	permit.until = asked.Add(permitted)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxPermits {
		p.known = map[[sha256.Size]byte]Permit{} // all are asked for once more, which costs a request each
	}
	p.known[id] = permit
}
