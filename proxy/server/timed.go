package server

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// watchdog is a timer that calls bark, at most once, if stop is not called within the timeout after start. Its methods are for one goroutine; bark runs
// on another.
type watchdog struct {
	bark   func()
	timer  *time.Timer
	barked chan struct{} // closed after bark has returned
	over   bool          // bark was called
}

func (d *watchdog) start(timeout time.Duration) {
	switch {
	case d.over:
	case d.timer == nil:
		d.barked = make(chan struct{})
		d.timer = time.AfterFunc(timeout, func() {
			defer close(d.barked)
			d.bark()
		})
	default:
		d.timer.Reset(timeout)
	}
}

// stop stops the timer, and reports whether bark was called, now or earlier. If bark is running, stop waits for it. bark is not called again before the
// next start.
func (d *watchdog) stop() bool {
	if !d.over && !d.timer.Stop() {
		<-d.barked
		d.over = true
	}
	return d.over
}

// minRate is the least that a client must send or take on the average, in bytes a second, once the timeout is used up:
// a byte now and then is not progress.
const minRate = 500

// atLeast is how long n bytes may take at most.
func atLeast(n int64) time.Duration { return time.Duration(n) * time.Second / minRate }

// timedBody is a request's body that must make progress while it is read. Two goroutines may read it: the transport that sends it on, and net/http,
// which reads the rest when the answer is there.
type timedBody struct {
	io.ReadCloser
	conn    *connection
	timeout time.Duration // 0: none
	ended   atomic.Bool   // it was read to its end

	mu     lockorder.Mutex[lockorder.TimedBody] // held during a Read; guards what is below
	done   bool                                 // its request is over
	dog    watchdog
	waited time.Duration // how long reads have waited, less the time that the bytes may take at minRate
}

func newTimedBody(body io.ReadCloser, conn *connection, protocol int, timeout time.Duration) *timedBody {
	b := &timedBody{ReadCloser: body, conn: conn, timeout: timeout}
	b.dog.bark = func() {
		if protocol >= 2 {
			body.Close() // ends the read; the error is of no interest
			return
		}
		conn.giveUp() // ends the read: HTTP/1.1 cannot close a body that is being read
	}
	return b
}

func (b *timedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return 0, http.ErrBodyReadAfterClose
	}
	start := time.Now()
	if b.timeout > 0 {
		b.dog.start(b.timeout - b.waited)
	}
	n, err := b.ReadCloser.Read(p)
	if b.timeout > 0 && b.dog.stop() && err != io.EOF {
		return n, fmt.Errorf("client sends too slowly or not at all: %w", os.ErrDeadlineExceeded)
	}
	if err == io.EOF {
		b.ended.Store(true)
	}
	b.waited = max(0, b.waited+time.Since(start)-atLeast(int64(n)))
	return n, err
}

// finish ends the reading of an HTTP/1.1 body when its request is over. The transport may still be reading it. net/http, which wants to read the rest,
// would break off that read and then clear the connection's deadline, so that its own read would have no limit.
func (b *timedBody) finish() {
	if b.ended.Load() {
		return
	}
	if !b.mu.TryLock() {
		b.conn.giveUp()
		b.mu.Lock()
	}
	b.done = true
	b.mu.Unlock()
}

// timedWriter writes to an HTTP/2 stream whose client must take something within every timeout. The deadline of the connection does not suffice:
// nothing is written to the connection while the stream's flow-control window is closed.
type timedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	dog     watchdog
	timeout time.Duration
}

func newTimedWriter(w http.ResponseWriter, all *Connections) *timedWriter {
	t := &timedWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: all.limits.WriteTimeout}
	t.dog.bark = func() {
		all.stalled.Add(1)
		_ = t.control.SetWriteDeadline(time.Unix(1, 0)) // resets the stream at once
	}
	return t
}

// streamPart is how many bytes are written at a time: the client has to take that much within a timeout.
const streamPart = 16 << 10

func (w *timedWriter) Write(p []byte) (n int, err error) {
	for {
		w.dog.start(w.timeout)
		m, err := w.ResponseWriter.Write(p[:min(len(p), streamPart)])
		w.dog.stop()
		n += m
		if p = p[m:]; err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// FlushError sends what was written.
func (w *timedWriter) FlushError() error {
	w.dog.start(w.timeout)
	defer w.dog.stop()
	return w.control.Flush()
}

// Unwrap serves http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
