package upstream

import (
	"errors"
	"io"
	"net/http"

	"cacheproxy/lockorder"
)

// replayLimit is how many bytes of a request's body are kept while it is sent over HTTP/2. An upstream that does not process a request takes no more
// than its flow-control window, which is 64 KiB by default, and the transport reads a part ahead.
const replayLimit = 128 << 10

// maxReplays is how often one request is sent again because an upstream says that it has not processed it.
const maxReplays = 2

// errNotKept is why a request cannot be sent again.
var errNotKept = errors.New("more of the request's body was sent than is kept")

// replay is a request's body that can be sent again. Over HTTP/2 an upstream can say that it has not processed a request, as with GOAWAY (RFC 9113
// §8.7), and then a request with any method may be repeated, as a client that spoke HTTP/2 itself would.
//
// Each time that the body is sent is a turn. A transport ends a turn by closing its body, possibly while a Read of it waits for the client's next
// bytes, or after it has begun the next turn. So a goroutine that belongs to no turn reads from the client, and bytes that come when the turn that
// wanted them has ended go to the next turn.
type replay struct {
	source io.ReadCloser

	// A transport reads and closes on goroutines of its own, and begins another turn on Send's, where Send itself ends.
	mu       lockorder.Mutex[lockorder.KeptBody] // guards what is below; not held while source is read
	kept     []byte                              // the bytes of source from offset base on
	base     int                                 // offset of kept[0]; above 0 only if lost is set
	lost     bool                                // bytes that were read are not kept for a further turn
	err      error                               // error of source, io.EOF included; nil: there may be more
	fetching bool                                // fetch is running
	moved    chan struct{}                       // closed and replaced when bytes or an error have come, or a turn begins or ends
	now      *reading                            // the present turn
	final    bool                                // no further turn begins: closing the present one closes source
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

// begin begins another turn, which ends the one before; it is http.Request.GetBody. The error is errNotKept.
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

// only says that the present turn is the last, so that nothing has to be kept. A nil replay is no body.
func (r *replay) only() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
}

// end says that the request will not be sent again, and closes source if the last turn was closed already. A nil replay is no body.
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
