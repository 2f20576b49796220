package fill

import (
	"context"
	"errors"
	"net/http"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy"
	"cacheproxy/store"
)

const (
	// streamWindow is how much of a body that is not kept may wait for its readers, in bytes.
	streamWindow = 256 << 10
	// laggardLimit is how long one reader of a body that is not kept may hold up the others.
	laggardLimit = 10 * time.Second
)

var (
	errLaggard   = errors.New("read response: too slow for the other readers")
	errAbandoned = errors.New("fetch response: nobody reads it any more")
)

// body is a response body while it is being fetched. One goroutine appends, which is the fill's; any number of readers follow.
// The body is kept whole as long as it may be stored. A body that outgrows its limit goes over to a window, once and for good: it
// has only what attached readers have still to read, and the appender waits for the slowest of them.
//
// A sync.Cond would not do in the place of moved: readers wait for their client to leave as well, and the appender for the end of
// its fill, and neither is told by a condition.
type body struct {
	budget *store.Budget
	// unread is called with mu held when the last reader leaves a body that is not kept; nil: nothing is. The fill sets it before
	// anybody else has the body.
	unread func()
	// copied is the copy that has the bytes, where the body was complete from the start; nil: data has bytes of its own. Each reader
	// has a reference to it. Set when the body is made.
	copied *store.Copy

	mu lockorder.Mutex[lockorder.Body] // guards what follows

	// The appender writes these until the body has ended; then nobody does.
	data     []byte        // what is retained; bytes once written never change, so that readers use them without the lock
	base     int64         // offset of data[0]; above 0 only in a window
	limit    int64         // bytes kept while keeping; never changes
	keeping  bool          // false: the body is a window
	why      policy.Reason // of the change to a window
	reserved int64         // of the budget; given back at the end, or when the window drops its first bytes
	ended    bool
	err      error       // why the body ended early; nil: all of it came
	trailer  http.Header // set just before the end

	// Everybody writes these.
	readers map[*Reader]struct{} // of those that have not left; the appender takes out laggards
	moved   chan struct{}        // closed and replaced at every change; who waits takes it under the lock, and waits without
}

// Reader is one follower's place in a body.
type Reader struct {
	b      *body
	leads  bool  // its request leads the flight; set when the reader is made
	offset int64 // of what comes next; the reader's own goroutine writes it, the appender reads it; guarded by b.mu
	cut    bool  // the appender has given the reader up; guarded by b.mu
}

// newBody makes a body that keeps up to limit bytes; zero keeps nothing. size is the expected length, or -1.
func newBody(budget *store.Budget, limit, size int64) *body {
	b := &body{budget: budget, limit: limit, keeping: limit > 0, readers: map[*Reader]struct{}{}, moved: make(chan struct{})}
	if b.keeping && size > 0 && size <= 64<<10 { // what an origin says of its length is not worth more memory than that
		b.data = make([]byte, 0, size)
	}
	return b
}

// wholeBody is the body of a copy.
func wholeBody(c *store.Copy) *body {
	return &body{copied: c, data: c.Body(), keeping: true, ended: true, readers: map[*Reader]struct{}{}, moved: make(chan struct{})}
}

// attach starts a reader at the beginning; ok is false when the beginning is gone, or the copy that had it.
func (b *body) attach() (*Reader, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.base > 0 || b.copied != nil && !b.copied.Take() {
		return nil, false
	}
	r := &Reader{b: b}
	b.readers[r] = struct{}{}
	return r, true
}

// Detach ends a reader, whose bytes must not be read after it. A second call does nothing.
func (r *Reader) Detach() {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if _, attached := r.b.readers[r]; attached {
		r.b.copied.Release()
	}
	delete(r.b.readers, r)
	r.b.wake()
	r.b.checkUnread()
}

// checkUnread tells when nobody is left for whom a body that is not kept would be fetched. The appender may be waiting
// for the origin at that time, and would not notice before the next byte. The caller holds mu.
func (b *body) checkUnread() {
	if !b.keeping && !b.ended && len(b.readers) == 0 && b.unread != nil {
		b.unread()
	}
}

// wake tells everybody that something changed. The caller holds mu.
func (b *body) wake() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// Next waits for bytes that the reader has not seen. No bytes and no error is the end. The bytes must not be changed.
func (r *Reader) Next(ctx context.Context) ([]byte, error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if r.cut {
			return nil, errLaggard
		}
		if p := b.data[r.offset-b.base:]; len(p) > 0 {
			r.offset += int64(len(p))
			if !b.keeping {
				b.wake() // the appender may wait for this reader to make room
			}
			return p, nil
		}
		if b.ended {
			return nil, b.err
		}
		moved := b.moved
		b.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		b.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// Idle reports whether the reader has nothing to read at the moment.
func (r *Reader) Idle() bool {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.offset-r.b.base >= int64(len(r.b.data))
}

// append adds bytes, which it copies. It reports whether the body is still kept whole.
func (b *body) append(ctx context.Context, p []byte) (kept bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keeping {
		if b.why = b.reserve(int64(len(p))); b.why != policy.NoReason {
			b.keeping = false
			b.wake() // those who wait for all of it have waited in vain
		}
	}
	if !b.keeping {
		if err := b.makeRoom(ctx); err != nil {
			return false, err
		}
	}
	b.data = append(b.data, p...)
	b.wake()
	return b.keeping, nil
}

// reserve takes memory for n more bytes, or says why it cannot. The caller holds mu.
func (b *body) reserve(n int64) policy.Reason {
	switch {
	case int64(len(b.data))+n > b.limit:
		return policy.TooLarge
	case !b.budget.Reserve(n):
		return policy.MemoryFull
	}
	b.reserved += n
	return policy.NoReason
}

// dropped is why the body stopped being kept.
func (b *body) dropped() policy.Reason {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.why
}

// makeRoom waits until the slowest reader has come near enough, and forgets what all have read. A reader that holds up others for
// laggardLimit is given up; where all are slow, the origin waits for them as it would for one client. The caller holds mu, which is
// not held while it waits: readers come and go meanwhile.
func (b *body) makeRoom(ctx context.Context) error {
	var blocked *time.Timer
	var late <-chan time.Time
	for {
		if len(b.readers) == 0 {
			return errAbandoned
		}
		if b.forget(); int64(len(b.data)) < streamWindow {
			return nil
		}
		if blocked == nil {
			blocked = time.NewTimer(laggardLimit)
			defer blocked.Stop()
			late = blocked.C
		}
		moved := b.moved
		b.mu.Unlock()
		expired := false
		select {
		case <-moved:
		case <-late:
			expired, late = true, nil
		case <-ctx.Done():
		}
		b.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if expired {
			b.cutLaggards()
		}
	}
}

// forget drops what every reader has read. The caller holds mu.
func (b *body) forget() {
	lowest := b.base + int64(len(b.data))
	for r := range b.readers {
		lowest = min(lowest, r.offset)
	}
	if lowest > b.base {
		// A new array: readers may still hold parts of the old one.
		b.data = append(make([]byte, 0, streamWindow), b.data[lowest-b.base:]...)
		b.base = lowest
		if b.reserved > 0 {
			b.budget.Release(b.reserved)
			b.reserved = 0
		}
	}
}

// cutLaggards ends the readers that hold up others. The caller holds mu.
func (b *body) cutLaggards() {
	end := b.base + int64(len(b.data))
	ahead := false
	for r := range b.readers {
		ahead = ahead || r.offset == end
	}
	if !ahead {
		return
	}
	for r := range b.readers {
		if end-r.offset >= streamWindow {
			r.cut = true
			delete(b.readers, r)
		}
	}
	b.wake()
}

// end closes the body: with nil after its last byte, with an error when it broke off.
func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.err = true, err
	if b.reserved > 0 {
		b.budget.Release(b.reserved)
		b.reserved = 0
	}
	b.wake()
}

// Whole waits for the end of a body. kept is false as soon as the body is not kept whole any more; the reader has then not
// read any of it.
func (r *Reader) Whole(ctx context.Context) (data []byte, kept bool, err error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if !b.keeping || b.ended {
			return b.data, b.keeping, b.err
		}
		moved := b.moved
		b.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		b.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
	}
}

// whole is the complete body, when it was kept.
func (b *body) whole() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data, b.keeping
}

// leader starts the reader of the request that leads the flight. The body must be new.
func (b *body) leader() *Reader {
	r, _ := b.attach()
	r.leads = true
	return r
}

// finish closes the body after its last byte. What comes after it is for the request that leads alone.
func (b *body) finish(trailer http.Header) {
	b.mu.Lock()
	b.trailer = trailer
	b.mu.Unlock()
	b.end(nil)
}

// Trailer is what came after the body, once Next has come to its end. It is no part of what is shared, just as it is no part of a
// copy: only the request that leads the flight gets it.
func (r *Reader) Trailer() http.Header {
	if r == nil || !r.leads {
		return nil
	}
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.b.trailer
}
