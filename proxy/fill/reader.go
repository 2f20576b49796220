package fill

import (
	"context"
	"net/http"
)

// Reader reads a body from its beginning while the body grows. The methods of a Reader are for one goroutine at a
// time.
type Reader struct {
	b      *body
	leads  bool   // its request leads the flight; set when the reader is made
	place  int    // index in b.readers; -1: the reader has left, or was cut off; guarded by b.mu
	offset int64  // of the next byte to read; guarded by b.mu
	at     *chunk // of a window: the chunk with offset, or an earlier chunk; guarded by b.mu
	cut    bool   // the appender has cut the reader off; guarded by b.mu
}

// attach starts a reader at the beginning. ok is false if the beginning is gone, or the copy that had the bytes is
// free.
func (b *body) attach() (*Reader, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last != nil && b.first == nil || b.copied != nil && !b.copied.Take() {
		return nil, false
	}
	r := &b.lead
	if r.b != nil {
		r = new(Reader)
	} else {
		b.readers = b.few[:0]
	}
	*r = Reader{b: b, at: b.first, place: len(b.readers)}
	b.readers = append(b.readers, r)
	return r, true
}

// remove takes a reader out of the readers, and reports whether the reader was still there. The caller holds mu.
func (b *body) remove(r *Reader) bool {
	if r.place < 0 {
		return false
	}
	last := len(b.readers) - 1
	b.readers[last].place = r.place
	b.readers[r.place], b.readers[last] = b.readers[last], nil
	b.readers, r.place = b.readers[:last], -1
	return true
}

// Detach ends a reader. The caller must not use bytes that the reader has returned after Detach. A second call does
// nothing.
func (r *Reader) Detach() {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if r.b.remove(r) {
		r.b.copied.Release()
	}
	r.at = nil
	r.b.giveBack()
	r.b.wake()
	r.b.checkUnread()
}

// Next waits for the next bytes, which the caller must not change. No bytes and a nil error are the end. The error is
// ErrLaggard, the error of ctx, or the reason why the body broke off.
func (r *Reader) Next(ctx context.Context) ([]byte, error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if r.cut {
			return nil, ErrLaggard
		}
		if p := r.next(); len(p) > 0 {
			r.offset += int64(len(p))
			if !b.keeping {
				b.giveBack()
				b.wake() // the appender may wait for this reader to make room
			}
			return p, nil
		}
		if b.ended {
			return nil, b.err
		}
		if _, err := b.await(ctx, 0); err != nil {
			return nil, err
		}
	}
}

// next returns bytes that have come and were not read: all of them, or the next part. The caller holds mu.
func (r *Reader) next() []byte {
	if r.b.keeping {
		return r.b.data[r.offset:r.b.shown]
	}
	for r.at != nil {
		if p := r.at.data[r.offset-r.at.start:]; len(p) > 0 || r.at.next == nil {
			return p
		}
		r.at = r.at.next
	}
	return nil // the reader has left
}

// Idle reports whether Next would have to wait. At the end of the body, Idle is true as well.
func (r *Reader) Idle() bool {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.offset >= r.b.shown
}

// Whole waits for the whole body. If the body stops being kept, Whole returns at once with kept false. The reader
// stays where Next left off.
func (r *Reader) Whole(ctx context.Context) (data []byte, kept bool, err error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if !b.keeping || b.ended {
			return b.data, b.keeping, b.err
		}
		if _, err := b.await(ctx, 0); err != nil {
			return nil, false, err
		}
	}
}

// leader starts the reader of the request that leads the flight. The body must be new.
func (b *body) leader() *Reader {
	r, _ := b.attach()
	r.leads = true
	return r
}

// Trailer is the trailer section, once Next has reached the end. Only the leading request's reader has a trailer: a
// trailer is neither shared nor stored. A nil Reader has none.
func (r *Reader) Trailer() http.Header {
	if r == nil || !r.leads {
		return nil
	}
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.b.trailer
}
