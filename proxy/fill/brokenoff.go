package fill

import (
	"context"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// An answer may break off after its header because of what its leader has asked, just as a fetch may fail before the
// header. Example: an API fails in the middle of a page for one Accept, and serves the page to all others. Such an
// answer must not break off requests with other questions again and again. So these requests get no byte of a shared
// answer before the answer is whole or has proved itself (Proves). If the answer breaks off before that, each of
// these requests asks for itself. And for a while after an answer under a key has broken off, only requests with the
// same question share a fetch. The cost is one fetch at a time for each question, however many requests ask the
// question.
//
// A request that has got bytes when the answer breaks off is broken off too: another fetch may bring another body.

const (
	// brokenFor is how long the mark of a broken answer lasts under a key, counted from the latest broken answer.
	brokenFor = time.Minute
	// An answer has proved itself when provedBytes of the body have come, or when the body has lasted for
	// provedAfter.
	provedBytes = readSize
	provedAfter = 100 * time.Millisecond
)

// brokenMark follows the storage key in the keys of these marks. No storage key is a prefix of another.
const brokenMark = 'b'

// rememberBroken marks that a shared answer has broken off, unless the fill itself was cancelled. The fill calls
// rememberBroken before the readers of the body learn of the end, so that the requests that ask again find the mark.
func (c *running) rememberBroken(res Response) {
	if c.alone || !res.Verdict.Share || c.ctx.Err() != nil {
		return
	}
	m := &store.Mark{Until: time.Now().Add(brokenFor), Why: policy.Incomplete}
	m.Stamp.Set(c.f.ledger.Token())
	c.f.store.Mark(c.q.Key+string(brokenMark), m)
}

// BreaksOff reports whether an answer under a storage key has broken off within the last brokenFor. If so, only
// requests with the same question share an answer.
func (f *Filler) BreaksOff(key string, now time.Time) bool {
	return f.store.Marked(key+string(brokenMark), f.ledger, now) != nil
}

// Proves waits until an answer is whole or has proved itself, and reports false if the answer breaks off before that.
// The reader must not have read any byte of the answer. With a nil Reader, Proves returns true at once.
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
