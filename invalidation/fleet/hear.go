package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// Heard is an entry that the server sent beside the heartbeats, without a request.
type Heard struct {
	invalidation.Record
	Previous uint64 // nonce of the entry before, as the writer's server has noted it; zero: not known
}

// Hear applies an entry that came beside the heartbeats, and reports whether Hear has applied the entry. Hear applies
// only the entry that follows on the last one applied, by its Seq and by the nonce of the entry before (R19). Hear
// extends no lease. Hear must not be called between a request and its reply.
func (f *Follower) Hear(e Heard, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &f.positions
	if p.applied == 0 || e.Seq != p.applied+1 || e.Previous != p.nonce {
		return false
	}
	f.apply(e.Record, now)
	return true
}

// Has reports whether the entry with that Seq and nonce is applied here, and still in the log as far as this instance
// knows. The instance can then acknowledge an entry that a heartbeat had brought before.
func (f *Follower) Has(seq, nonce uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	e, ok := f.positions.ring.at(seq)
	return ok && e.record.Nonce == nonce && seq <= f.positions.applied
}

// Place returns the last entry that this instance has applied, and the log of the entry.
func (f *Follower) Place() (History, Place) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.positions.history, Place{Seq: f.positions.applied, Nonce: f.positions.nonce}
}
