package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"cacheproxy/lockorder"
)

// wait bounds how long the upstream may keep a request waiting for its response header. The clock runs while it is the
// upstream's turn: while a connection is made, while it does not take what is written to it, and after the last byte
// was sent. It stands still while the proxy waits for the client's next bytes, so that a slow upload or a silent gRPC
// client is not the upstream's fault.
type wait struct {
	timeout  time.Duration
	cancel   context.CancelCauseFunc
	quiet    func()        // called when the client has used up patience; may be nil
	patience time.Duration // how long the client may be silent, over the whole body; bytes give time back (worth)

	// The transport's goroutine calls pause and resume as it reads the client's body, the timer's expire, and Send's end.
	mu      lockorder.Mutex[lockorder.Wait] // guards what is below
	timer   *time.Timer
	over    bool          // the header is there, or is not waited for any more
	read    bool          // the client's next bytes are awaited
	since   time.Time     // since when they are
	silence time.Duration // how much of patience is used up
	body    error         // what the client's body failed with
}

// begin starts the clock, once.
func (w *wait) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.timeout, w.expire)
}

func (w *wait) expire() {
	w.mu.Lock()
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

// pause stops the clock: the client's turn.
func (w *wait) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read, w.since = true, time.Now()
	if w.timer.Stop(); w.quiet != nil && !w.over {
		w.timer.Reset(max(w.patience-w.silence, atHandTime))
	}
}

// resume starts the clock anew, for the upstream's turn, when n bytes of the client have come.
func (w *wait) resume(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = false
	w.silence = min(w.patience, max(0, w.silence+time.Since(w.since)-worth(n)))
	if !w.over {
		w.timer.Reset(w.timeout)
	}
}

// clientsTurn reports whether the client's next bytes are awaited. The upstream may be sending its response while it still reads the request.
func (w *wait) clientsTurn() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read
}

// end stops the clock for good and returns what the client's body failed with by then.
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

// watch returns body with its reads told to w. A request without content keeps its nil body, which
// lets the transport send it again where HTTP/2 says that it was not processed.
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
