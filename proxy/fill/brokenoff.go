package fill

import (
	"context"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// An answer that breaks off after its head may do so because of what its leader asks, as one that fails before its head may: an API dies
// in the middle of a page for one Accept, and serves it to all others. Those who asked something else must not be cut by it again and again.
// So two things hold for them. Of an answer that they share they are sent nothing before it is whole or has proved itself a little; if it
// breaks off before, they ask for themselves. And for a while after an answer has broken off, under its key only those share a fetch who
// ask the very same. That costs one fetch at a time for each question, however many ask it.
//
// Who has been sent bytes when the answer breaks off is cut: what another fetch would bring may be another body.

const (
	// brokenFor is how long it is remembered that an answer under a key has broken off, from the last one on.
	brokenFor = time.Minute
	// provedBytes and provedAfter are how much has to have come of an answer, or how long it has to have gone on, to have proved itself.
	provedBytes = readSize
	provedAfter = 100 * time.Millisecond
)

// brokenMark ends the keys under which that is remembered. No key is the beginning of another.
const brokenMark = 'b'

// rememberBroken notes that an answer which others may have shared has broken off, unless that was this side's doing. It comes before
// its readers learn of the end: those who then ask again are to find it.
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
