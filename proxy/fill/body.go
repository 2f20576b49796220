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
	// streamWindow is how much of a body that is not kept may wait for its readers, in bytes. It is not in the budget.
	streamWindow = 256 << 10
	// spoolLimit is how many bytes of the budget, beyond the body's limit, may be used to buffer a window for slower readers.
	spoolLimit = 32 << 20
	// laggardLimit is how long, over a whole body, slower readers may hold up faster ones when no more can be buffered for them.
	laggardLimit = 5 * time.Second
)

var (
	// ErrLaggard is the error of a Reader that was cut off because it held up the others.
	ErrLaggard   = errors.New("read response: too slow for the other readers")
	errAbandoned = errors.New("fetch response: nobody reads it any more")
)

// body is a response body while it is being fetched. One goroutine appends, which is the fill's; any number of readers follow.
// The body is kept whole as long as it may be stored. A body that outgrows its limit goes over to a window, once and for good: it
// has only what attached readers have still to read. The appender goes by the fastest of them; for the slower ones what they have
// not read waits in memory, up to spoolLimit and as long as the budget has room to spare.
//
// A sync.Cond would not do in the place of moved: readers wait for their client to leave as well, and the appender for the end of
// its fill, and neither is told by a condition.
type body struct {
	budget *store.Budget
	// unread is called with mu held when the last reader leaves a body that is not kept; may be nil. The fill sets it before it shares the
	// body.
	unread func()
	// copied is the copy whose bytes these are, if the body was complete from the start; nil: data has bytes of its own. Each reader has a
	// reference to the copy. Set when the body is made.
	copied *store.Copy

	mu lockorder.Mutex[lockorder.Body] // guards what follows

	// The appender writes these until the body has ended; then nobody does.
	data    []byte        // of a body that is kept; bytes once written never change, so that readers use them without the lock
	limit   int64         // bytes kept while keeping; never changes
	keeping bool          // false: the body is a window
	why     policy.Reason // of the change to a window
	ended   bool
	err     error       // why the body ended early; nil: all of it came
	trailer http.Header // set just before the end

	// Of a window; only the appender writes these until the body has ended. Chunks that every reader has read are left to the collector.
	first    *chunk        // the first of the body; nil: it is no window, or every reader has left the beginning
	last     *chunk        // to which bytes are appended; nil: it is no window
	patience time.Duration // what is left of laggardLimit

	// Everybody writes these.
	size     int64         // bytes that have come
	shown    int64         // of which readers may read; fewer than size only of a body that is kept
	reserved int64         // of the budget; given back at the end, by a window when its readers have read
	readers  []*Reader     // those that have not left; the appender takes out laggards
	moved    chan struct{} // closed, and set to nil, at the next change; nil: nobody waits for one

	// The leader's reader and the place for it are there with the body: most have no other.
	lead Reader
	few  [1]*Reader
}

// chunk is a part of a window. The body's mu guards it; its bytes once written never change.
type chunk struct {
	start int64 // offset of data[0]
	data  []byte
	next  *chunk // nil: it is the last
}

// chunkSize is the least that a chunk has room for, in bytes.
const chunkSize = 4 << 10

// newBody makes a body that keeps up to limit bytes; zero keeps nothing. size is the expected length, or -1.
func newBody(budget *store.Budget, limit, size int64) *body {
	b := &body{budget: budget, limit: limit, keeping: limit > 0, patience: laggardLimit}
	switch {
	case !b.keeping:
		b.first = &chunk{}
		b.last = b.first
	case size > 0 && size <= 64<<10: // what an origin says of its length is not worth more memory than that
		b.data = make([]byte, 0, size)
	}
	return b
}

// wholeBody is the body of a copy.
func wholeBody(c *store.Copy) *body {
	return &body{copied: c, data: c.Body(), size: int64(len(c.Body())), shown: int64(len(c.Body())), keeping: true, ended: true}
}

// checkUnread calls unread if the body is not kept and has no reader left. The appender, which may be waiting for the origin, would notice only at
// the next byte. The caller holds mu.
func (b *body) checkUnread() {
	if !b.keeping && !b.ended && len(b.readers) == 0 && b.unread != nil {
		b.unread()
	}
}

// wake tells everybody that something changed. The caller holds mu.
func (b *body) wake() {
	if b.moved != nil {
		close(b.moved)
		b.moved = nil
	}
}

// change returns a channel that the next change closes. The caller holds mu, and gives it up before it waits.
func (b *body) change() <-chan struct{} {
	if b.moved == nil {
		b.moved = make(chan struct{})
	}
	return b.moved
}

// keep reserves memory for n more bytes, and reports whether the body is still kept whole; if not, it has become a window. The appender calls keep
// before append, which waits for readers of a window.
func (b *body) keep(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why = b.reserve(n); b.why != policy.NoReason {
		b.open()
	}
	return b.keeping
}

// append copies p to the end of the body. If the body is kept, keep must have reserved memory for p, and readers see p only with the next append
// that has show set, or at the end.
func (b *body) append(ctx context.Context, p []byte, show bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := int64(len(p))
	if b.keeping {
		b.data = append(b.data, p...)
	} else {
		if err := b.makeRoom(ctx, n); err != nil {
			return err
		}
		if cap(b.last.data)-len(b.last.data) < len(p) {
			b.last.next = &chunk{start: b.size, data: make([]byte, 0, max(len(p), chunkSize))}
			b.last = b.last.next
		}
		b.last.data = append(b.last.data, p...)
	}
	b.size += n
	if show || !b.keeping {
		b.shown = b.size
		b.wake()
	}
	return nil
}

// open turns a body that was kept into a window. The caller holds mu.
func (b *body) open() {
	b.keeping, b.shown = false, b.size
	b.first = &chunk{data: b.data[:len(b.data):len(b.data)]}
	b.last, b.data = b.first, nil
	for _, r := range b.readers {
		r.at = b.first
	}
	b.wake() // Whole has to return: the body is not kept any more
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

// makeRoom waits until n more bytes may be appended to a window: until the fastest reader is less than streamWindow behind, which is the
// backpressure that a single client would exert, and until the bytes can be buffered for the slowest. When patience is used up, the slowest
// readers are cut off. The caller holds mu, which is given up while it waits, so that readers come and go meanwhile.
func (b *body) makeRoom(ctx context.Context, n int64) error {
	for {
		slowest, fastest := b.pace()
		if slowest == nil {
			return errAbandoned
		}
		if slowest.offset > 0 {
			b.first = nil
		}
		var err error
		switch patience := b.patience; {
		case b.size-fastest.offset >= streamWindow:
			_, err = b.await(ctx, 0)
		case b.spool(n, slowest):
			return nil
		case patience > 0:
			var waited time.Duration
			waited, err = b.await(ctx, patience)
			b.patience -= waited
		default:
			slowest.cut, slowest.at = true, nil
			b.remove(slowest)
			b.wake()
		}
		if err != nil {
			return err
		}
	}
}

// pace returns the readers that have read least and most; nil: there are none. The caller holds mu.
func (b *body) pace() (slowest, fastest *Reader) {
	for _, r := range b.readers {
		if slowest == nil || r.offset < slowest.offset {
			slowest = r
		}
		if fastest == nil || r.offset > fastest.offset {
			fastest = r
		}
	}
	return slowest, fastest
}

// waiting is how many bytes of a window are buffered for the slowest reader beyond streamWindow, and so counted in the budget. The caller holds mu.
func (b *body) waiting(slowest *Reader) int64 {
	if slowest == nil {
		return 0
	}
	slowest.next() // it may have come to the end of its chunk
	return max(0, b.size-slowest.at.start-streamWindow)
}

// spool reports whether n more bytes may be buffered for the slowest reader, and reserves memory for them if needed. The caller holds mu.
func (b *body) spool(n int64, slowest *Reader) bool {
	b.giveBack()
	if b.size-slowest.offset < streamWindow {
		return true
	}
	need := b.waiting(slowest) + n
	if need > b.limit+spoolLimit {
		return false
	}
	if need > b.reserved {
		if !b.budget.ReserveSpare(need - b.reserved) {
			return false
		}
		b.reserved = need
	}
	return true
}

// giveBack releases the part of the budget that was reserved for bytes which all readers of a window have read. The caller holds mu.
func (b *body) giveBack() {
	if b.keeping || b.reserved == 0 {
		return
	}
	slowest, _ := b.pace()
	if d := b.reserved - b.waiting(slowest); d > 0 {
		b.budget.Release(d)
		b.reserved -= d
	}
}

// await waits for the next change, for at most longest; 0: without limit. It returns how long it has waited. The caller holds mu, which is given up
// meanwhile.
func (b *body) await(ctx context.Context, longest time.Duration) (time.Duration, error) {
	var over <-chan time.Time
	if longest > 0 {
		timer := time.NewTimer(longest)
		defer timer.Stop()
		over = timer.C
	}
	moved, began := b.change(), time.Now()
	b.mu.Unlock()
	select {
	case <-moved:
	case <-over:
	case <-ctx.Done():
	}
	b.mu.Lock()
	return time.Since(began), ctx.Err()
}

// end closes the body: with nil after its last byte, with an error when it broke off.
func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.err, b.shown = true, err, b.size
	if b.giveBack(); b.keeping && b.reserved > 0 {
		b.budget.Release(b.reserved)
		b.reserved = 0
	}
	b.wake()
}

// whole is the complete body, when it was kept.
func (b *body) whole() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data, b.keeping
}

// finish closes the body after its last byte. Only the reader of the request that leads gets the trailer.
func (b *body) finish(trailer http.Header) {
	b.mu.Lock()
	b.trailer = trailer
	b.mu.Unlock()
	b.end(nil)
}
