package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"cacheproxy/lockorder"
)

// wait bounds how long the upstream may keep a request waiting for its response header. The clock runs while the
// upstream has its turn: while a connection is made, while the upstream does not take bytes that are written, and
// after the last byte was sent. The clock stands still while the proxy waits for the client's next bytes, so that a
// slow upload or a silent gRPC client is not the upstream's fault.
type wait struct {
	timeout  time.Duration
	cancel   context.CancelCauseFunc
	quiet    func()        // runs when the client has used up patience; nil: nothing
	patience time.Duration // for all silence of the client; each byte gives time back (placeRate)

	// The transport's goroutine calls pause and resume as it reads the client's body. The timer's goroutine calls
	// expire, that of Send calls end.
	mu      lockorder.Mutex[lockorder.Wait] // guards the fields below
	timer   *time.Timer
	due     time.Time     // when timer is to fire, for the present turn
	over    bool          // the header is there, or nobody waits for it any more
	read    bool          // the client has its turn: a Read waits for its bytes
	since   time.Time     // when the client's turn began
	silence time.Duration // used up of patience
	body    error         // the error of the client's body
}

// begin starts the clock, once.
func (w *wait) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = time.Now().Add(w.timeout)
	w.timer = time.AfterFunc(w.timeout, w.expire)
}

// expire ends the turn for which the timer was set. The timer may fire just before pause or resume begins the next turn,
// and expire run after that: the next turn has its own time, and expire does nothing.
func (w *wait) expire() {
	w.mu.Lock()
	if time.Now().Before(w.due) {
		w.mu.Unlock()
		return
	}
	quiet := w.quiet
	if !w.over && !w.read {
		w.cancel(errTimeout)
	}
	if w.over || !w.read {
		quiet = nil
	}
	w.mu.Unlock()
	if quiet != nil {
		quiet()
	}
}

// pause stops the clock and begins the client's turn.
func (w *wait) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read, w.since = true, time.Now()
	if w.timer.Stop(); w.quiet != nil && !w.over {
		w.set(max(w.patience-w.silence, atHandTime))
	}
}

// resume starts the clock anew for the upstream's turn. n bytes have come from the client.
func (w *wait) resume(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = false
	w.silence = min(w.patience, max(0, w.silence+time.Since(w.since)-worth(n)))
	if !w.over {
		w.set(w.timeout)
	}
}

// set has the timer fire after d. The caller holds mu.
func (w *wait) set(d time.Duration) {
	w.due = time.Now().Add(d)
	w.timer.Reset(d)
}

// clientsTurn reports whether a Read waits for the client's next bytes. An upstream may answer while it still reads
// the request.
func (w *wait) clientsTurn() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read
}

// end stops the clock for good and returns the error of the client's body so far.
func (w *wait) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
	return w.body
}

func (w *wait) bodyFailed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.body = err
}

// watch returns body with its reads reported to w. A request without content keeps its nil body, so that the
// transport can send the request again when HTTP/2 says that it was not processed.
func (w *wait) watch(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	return &watchedBody{ReadCloser: body, wait: w}
}

type watchedBody struct {
	io.ReadCloser
	wait *wait
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.wait.pause()
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &RequestBodyError{Err: err}
		b.wait.bodyFailed(err)
	}
	b.wait.resume(n)
	return n, err
}
