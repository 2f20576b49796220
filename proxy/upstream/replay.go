package upstream

import (
	"errors"
	"io"
	"net/http"

	"cacheproxy/lockorder"
)

// replayLimit is how much of a request's body is kept while it is sent over HTTP/2, in bytes: an upstream that processes nothing of
// a request takes no more of it than its window, which has 64 KiB unless it says otherwise, and the transport reads a part ahead.
const replayLimit = 128 << 10

// maxReplays is how often one request is sent again because an upstream says that it has not processed it.
const maxReplays = 2

// errNotKept is why a request cannot be sent again.
var errNotKept = errors.New("more of the request's body was sent than is kept")

// replay is a request's body that can be sent again. Over HTTP/2 an upstream says that it has not processed a request, as each does
// that goes away (RFC 9113 §8.7), and then any method may be repeated: it is what a client would do that spoke HTTP/2 itself.
//
// Each time is a turn. A transport ends one by closing it, and at that time may be waiting for the client's next bytes in it, or begin
// the next turn first. So the bytes come in on a goroutine that belongs to no turn: those that come when their turn has ended are the
// next one's.
type replay struct {
	source io.ReadCloser

	// A transport reads and closes on goroutines of its own, and begins another turn on Send's, where Send itself ends.
	mu       lockorder.Mutex[lockorder.KeptBody] // guards what is below; not held while source is read
	kept     []byte                              // what came, from base on
	base     int                                 // above 0 only when lost
	lost     bool                                // nothing more is kept for a further turn
	err      error                               // the end of source; nil: there may be more
	fetching bool                                // source is being read
	moved    chan struct{}                       // closed and replaced when that, or whose turn it is, has changed
	now      *reading
	final    bool // no further turn begins, so that the one there is closes source
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

// begin begins another turn, for http.Request.GetBody. The one before has ended by it.
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

// only says that there will be no further turn, so that nothing has to be kept. A nil replay is no body.
func (r *replay) only() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
}

// end says that the request will not be sent again. A turn that was closed owes it to source.
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

// wake tells who waits that something changed. The caller holds mu.
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

// Close ends the turn, and what it reads.
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
