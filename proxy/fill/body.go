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
	// streamWindow is how many bytes of a body that is not kept may wait for its readers. The window is not in the
	// budget.
	streamWindow = 256 << 10
	// spoolLimit is how many bytes of the budget, beyond the body's limit, may be used to buffer a window for slower
	// readers.
	spoolLimit = 32 << 20
	// laggardLimit is how long, over a whole body, slower readers may hold up faster readers when the budget has no
	// more room to buffer for the slower.
	laggardLimit = 5 * time.Second
)

var (
	// ErrLaggard is the error of a Reader that was cut off because the reader held up the others.
	ErrLaggard   = errors.New("read response: too slow for the other readers")
	errAbandoned = errors.New("fetch response: nobody reads it any more")
)

// body is a response body during its fetch. One goroutine, the fill's, appends; any number of readers follow. The
// body is kept whole as long as the body may be stored. A body that outgrows its limit becomes a window, once and for
// good. A window has only the bytes that attached readers have still to read. The appender goes by the fastest
// reader. The bytes that slower readers have not read wait in memory, up to spoolLimit and as long as the budget has
// room to spare.
//
// A sync.Cond could not replace moved. A reader also waits for its client to leave, and the appender also waits for
// the end of its fill. A condition signals neither event.
type body struct {
	budget *store.Budget
	// unread is called with mu held when the last reader leaves a body that is not kept; nil: nobody is told. The
	// fill sets unread before the fill shares the body.
	unread func()
	// copied is the copy that has the bytes, if the body was complete from the start; nil: data has bytes of its own.
	// Each reader has a reference to the copy. copied is set when the body is made, and never changes.
	copied *store.Copy

	mu lockorder.Mutex[lockorder.Body] // guards the fields below

	// The appender writes these fields until the body has ended; then they do not change.
	// data is the bytes of a body that is kept; written bytes never change, so that readers use them without the lock
	data    []byte
	limit   int64         // bytes kept while keeping; never changes
	keeping bool          // false: the body is a window
	why     policy.Reason // of the change to a window
	ended   bool
	err     error       // why the body ended early; nil: the body is complete
	trailer http.Header // set just before the end

	// Fields of a window. Only the appender writes these until the body has ended. The garbage collector takes the
	// chunks that every reader has read.
	first    *chunk        // the first of the body; nil: the body is no window, or every reader has left the beginning
	last     *chunk        // takes the appended bytes; nil: the body is no window
	patience time.Duration // what is left of laggardLimit

	// The appender and the readers write these fields.
	size  int64 // bytes that have come
	shown int64 // the bytes that readers may read; fewer than size only in a body that is kept
	// reserved is bytes of the budget; end gives them back, and for a window giveBack as the readers read
	reserved int64
	readers  []*Reader     // the readers that have not left; the appender takes out laggards
	moved    chan struct{} // closed, and set to nil, at the next change; nil: no goroutine waits for a change

	// The body includes the leader's reader and an array of one for readers, since most bodies have no other reader.
	lead Reader
	few  [1]*Reader
}

// chunk is a part of a window. The body's mu guards the chunk; written bytes never change.
type chunk struct {
	start int64 // offset of data[0]
	data  []byte
	next  *chunk // nil: this chunk is the last
}

// chunkSize is the smallest capacity of a chunk, in bytes.
const chunkSize = 4 << 10

// newBody makes a body that keeps up to limit bytes; zero keeps nothing. size is the expected length in bytes; -1:
// not known.
func newBody(budget *store.Budget, limit, size int64) *body {
	b := &body{budget: budget, limit: limit, keeping: limit > 0, patience: laggardLimit}
	switch {
	case !b.keeping:
		b.first = &chunk{}
		b.last = b.first
	case size > 0 && size <= 64<<10: // the origin's word on the length does not justify a larger allocation
		b.data = make([]byte, 0, size)
	}
	return b
}

// wholeBody is the complete body of a copy.
func wholeBody(c *store.Copy) *body {
	return &body{copied: c, data: c.Body(), size: int64(len(c.Body())), shown: int64(len(c.Body())), keeping: true, ended: true}
}

// checkUnread calls unread if the body is not kept and has no reader left. The appender may be waiting for the
// origin, and would notice the missing readers only at the next byte. The caller holds mu.
func (b *body) checkUnread() {
	if !b.keeping && !b.ended && len(b.readers) == 0 && b.unread != nil {
		b.unread()
	}
}

// wake tells every waiting goroutine of a change. The caller holds mu.
func (b *body) wake() {
	if b.moved != nil {
		close(b.moved)
		b.moved = nil
	}
}

// change returns a channel that the next change closes. The caller holds mu, and unlocks mu before waiting on the
// channel.
func (b *body) change() <-chan struct{} {
	if b.moved == nil {
		b.moved = make(chan struct{})
	}
	return b.moved
}

// keep reserves memory for n more bytes, and reports whether the body is still kept whole. False: the body has become
// a window. The appender calls keep before append, because append waits for the readers of a window.
func (b *body) keep(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why = b.reserve(n); b.why != policy.NoReason {
		b.open()
	}
	return b.keeping
}

// append copies p to the end of the body. For a body that is kept, keep must have reserved memory for p. Readers of
// such a body see p at once if show is set. Otherwise they see p with the next append that has show set, or at the
// end.
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

// reserve takes memory for n more bytes; NoReason: the memory is reserved, any other value says why not. The caller
// holds mu.
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

// dropped is the reason why the body stopped being kept.
func (b *body) dropped() policy.Reason {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.why
}

// makeRoom waits until n more bytes may be appended to a window. The fastest reader must be less than streamWindow
// behind: that is the backpressure that a single client would exert. The bytes must also fit into the buffer for the
// slowest reader. When patience is used up, makeRoom cuts off the slowest readers. The caller holds mu. makeRoom
// unlocks mu while waiting, so that readers may come and go.
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

// pace returns the readers that have read least and most; nil: the body has no readers. The caller holds mu.
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

// waiting is how many bytes of a window are buffered for the slowest reader beyond streamWindow. The budget counts
// these bytes. The caller holds mu.
func (b *body) waiting(slowest *Reader) int64 {
	if slowest == nil {
		return 0
	}
	slowest.next() // slowest may have read its chunk to the end: next moves slowest.at on
	return max(0, b.size-slowest.at.start-streamWindow)
}

// spool reports whether n more bytes may be buffered for the slowest reader, and reserves memory for them if needed.
// The caller holds mu.
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

// giveBack releases the part of the budget that was reserved for bytes that all readers of a window have read. The
// caller holds mu.
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

// await waits for the next change, for at most longest; 0: without limit. await returns how long the wait took, and
// the error of ctx. The caller holds mu, which await unlocks during the wait.
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

// end closes the body: with nil after the last byte, with an error when the body broke off.
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

// whole is the bytes that have come, and whether the body is still kept. After the last byte of a body that is kept,
// the bytes are the whole body.
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
