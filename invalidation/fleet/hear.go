package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// Heard is an entry that the server has told of when it was appended, and not in a reply to a heartbeat.
type Heard struct {
	invalidation.Record
	Previous uint64 // nonce of the entry before it in the server's log; zero: not known
}

// Hear applies an entry that came beside the heartbeats, and reports whether it did: it takes only the one that follows on the last
// applied, by its Seq and by the nonce before it (R19). It extends no lease. It must not be called between a request and its reply.
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

// Has reports whether the entry with this Seq and nonce is applied here and, as far as is known here, still in the log. Such an entry can be acknowledged
// although Hear has not applied it, because a reply had brought it before.
func (f *Follower) Has(seq, nonce uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	e, ok := f.positions.ring.at(seq)
	return ok && e.record.Nonce == nonce && seq <= f.positions.applied
}

// Place is what this instance has applied last, and of which log.
func (f *Follower) Place() (History, Place) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.positions.history, Place{Seq: f.positions.applied, Nonce: f.positions.nonce}
}
