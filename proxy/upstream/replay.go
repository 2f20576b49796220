package upstream

import (
	"errors"
	"io"
	"net/http"

	"cacheproxy/lockorder"
)

// replayLimit is how much of a request's body is kept while the request is sent over HTTP/2, in bytes. An upstream
// that processes nothing of a request takes no more than its window, which has 64 KiB unless the upstream says
// otherwise, and the transport reads one part ahead.
const replayLimit = 128 << 10

// maxReplays is how often one request is sent again because an upstream says that it has not processed the request.
const maxReplays = 2

// errNotKept says why a request cannot be sent again.
var errNotKept = errors.New("more of the request's body was sent than is kept")

// replay is a request's body that can be sent again. Over HTTP/2 an upstream says that it has not processed a
// request, as every upstream does that goes away (RFC 9113 §8.7). Then any method may be repeated, as a client of
// HTTP/2 would repeat the request itself.
//
// Each sending is a turn. A transport ends a turn by closing its body. At that time the transport may be waiting in
// the body for the client's next bytes, or may have begun the next turn before. So a goroutine that belongs to no
// turn fetches the bytes. Bytes that come after the end of their turn go to the next turn.
type replay struct {
	source io.ReadCloser

	// A transport reads and closes on goroutines of its own. It begins another turn on the goroutine of Send, where
	// Send ends the replay.
	mu       lockorder.Mutex[lockorder.KeptBody] // guards the fields below; not held while source is read
	kept     []byte                              // the bytes that came, from base on
	base     int                                 // position of the first kept byte; above 0 only when lost
	lost     bool                                // no bytes are kept for a further turn
	err      error                               // the end of source; nil: more may come
	fetching bool                                // a goroutine reads source
	moved    chan struct{}                       // closed and replaced when fetching or the turn has changed
	now      *reading
	final    bool // no further turn begins: Close of the last turn closes source
}

// reading is one turn of a replay.
type reading struct {
	r      *replay
	at     int  // guarded by r.mu
	closed bool // guarded by r.mu
}

func newReplay(source io.ReadCloser) *replay {
	return &replay{source: source, moved: make(chan struct{})}
}

// begin begins another turn, for http.Request.GetBody, and so ends the turn before.
func (r *replay) begin() (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.base > 0 {
		return nil, errNotKept
	}
	r.now = &reading{r: r}
	r.wake()
	return r.now, nil
}

// only notes that no further turn follows, so that no bytes have to be kept. A nil replay means no body.
func (r *replay) only() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
}

// end notes that the request will not be sent again. If the last turn was closed already, end closes source.
func (r *replay) end() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.final, r.lost = true, true
	owed := r.now.closed
	r.mu.Unlock()
	if owed {
		r.source.Close() // the error cannot matter any more
	}
}

// wake wakes the readers that wait for a change. The caller holds mu.
func (r *replay) wake() {
	close(r.moved)
	r.moved = make(chan struct{})
}

// Read waits for bytes of the source that this turn has not had, or for the end of the turn.
func (t *reading) Read(p []byte) (int, error) {
	r := t.r
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if t.closed || r.now != t {
			return 0, http.ErrBodyReadAfterClose
		}
		if n := copy(p, r.kept[t.at-r.base:]); n > 0 || len(p) == 0 {
			t.at += n
			if r.lost {
				r.kept, r.base = r.kept[t.at-r.base:], t.at
			}
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		if !r.fetching {
			r.fetching = true
			go r.fetch(make([]byte, len(p)))
		}
		moved := r.moved
		r.mu.Unlock()
		<-moved
		r.mu.Lock()
	}
}

// fetch reads source once.
func (r *replay) fetch(p []byte) {
	n, err := r.source.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err = err; r.base+len(r.kept)+n > replayLimit {
		r.lost = true
	}
	if len(r.kept) == 0 {
		r.kept = p[:n]
	} else {
		r.kept = append(r.kept, p[:n]...)
	}
	r.fetching = false
	r.wake()
}

// Close ends the turn, and its Read. In the last turn Close closes source.
func (t *reading) Close() error {
	r := t.r
	r.mu.Lock()
	t.closed = true
	last := r.now == t && r.final
	r.wake()
	r.mu.Unlock()
	if !last {
		return nil
	}
	return r.source.Close()
}
