package fill

import (
	"context"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// An answer may break off after its head because of what its leader has asked, just as a fetch may fail before: an API dies in the middle of a page
// for one Accept, and serves the page to all others. Requests that ask something else must not be broken off by that again and again. So they are
// sent nothing of a shared answer before it is whole or has proved itself (Proves); if it breaks off before that, they ask for themselves. And for a
// while after an answer under a key has broken off, only requests that ask exactly the same share a fetch. That costs one fetch at a time for each
// question, however many requests ask it.
//
// A request that has been sent bytes when the answer breaks off is broken off too: another fetch may bring another body.

const (
	// brokenFor is how long it is remembered that an answer under a key has broken off, from the last one on.
	brokenFor = time.Minute
	// provedBytes and provedAfter are how much has to have come of an answer, or how long it has to have gone on, to have proved itself.
	provedBytes = readSize
	provedAfter = 100 * time.Millisecond
)

// brokenMark follows the storage key in the keys of these marks. No storage key is a prefix of another.
const brokenMark = 'b'

// rememberBroken marks that a shared answer has broken off, unless the fill itself was cancelled. It is called before the readers of the body learn
// of the end, so that the requests that ask again find the mark.
func (c *running) rememberBroken(res Response) {
	if c.alone || !res.Verdict.Share || c.ctx.Err() != nil {
		return
	}
	m := &store.Mark{Until: time.Now().Add(brokenFor), Why: policy.Incomplete}
	m.Stamp.Set(c.f.ledger.Token())
	c.f.store.Mark(c.q.Key+string(brokenMark), m)
}

// BreaksOff reports whether an answer under a storage key has broken off lately, so that only those share one who ask the same.
func (f *Filler) BreaksOff(key string, now time.Time) bool {
	return f.store.Marked(key+string(brokenMark), f.ledger, now) != nil
}

// Proves waits until an answer is whole or has proved itself, and reports false where it breaks off before. The reader must not have read
// any of it. A nil Reader has nothing to wait for.
func (r *Reader) Proves(ctx context.Context) bool {
	if r == nil {
		return true
	}
	timer := time.NewTimer(provedAfter)
	defer timer.Stop()
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ended && b.size < provedBytes && !r.cut {
		moved := b.change()
		b.mu.Unlock()
		late := false
		select {
		case <-moved:
		case <-timer.C:
			late = true
		case <-ctx.Done():
			late = true
		}
		if b.mu.Lock(); late {
			break
		}
	}
	return !b.ended || b.err == nil
}
