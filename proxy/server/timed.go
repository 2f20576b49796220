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

// watchdog calls bark when something takes longer than it may. A watchdog is for one goroutine.
type watchdog struct {
	bark   func()
	timer  *time.Timer
	barked chan struct{} // closed after bark returned
	over   bool          // the watchdog has barked
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

// stop reports whether the watchdog has barked since it was made. After stop the watchdog does not bark until the
// next start.
func (d *watchdog) stop() bool {
	if !d.over && !d.timer.Stop() {
		<-d.barked
		d.over = true
	}
	return d.over
}

// minRate is the least average rate at which a client must send or take, in bytes a second, once the timeout is used
// up. A byte now and then is not progress.
const minRate = 500

// atLeast returns how long n bytes may take at most.
func atLeast(n int64) time.Duration { return time.Duration(n) * time.Second / minRate }

// timedBody is a request's body that must make progress while a goroutine waits for it. Two goroutines may read: the
// transport's, which sends the body, and the goroutine that takes the rest of the body once the answer is there.
type timedBody struct {
	io.ReadCloser
	conn    *connection
	timeout time.Duration // 0: none
	ended   atomic.Bool   // the body was read to its end

	mu     lockorder.Mutex[lockorder.TimedBody] // held by the goroutine that reads; guards the fields below
	done   bool                                 // the request is over
	dog    watchdog
	waited time.Duration // for the client, less the time that the bytes that came may have taken
}

func newTimedBody(body io.ReadCloser, conn *connection, protocol int, timeout time.Duration) *timedBody {
	b := &timedBody{ReadCloser: body, conn: conn, timeout: timeout}
	b.dog.bark = func() {
		if protocol >= 2 {
			body.Close() // ends the read; the error is of no interest
			return
		}
		conn.giveUp() // ends the read: over HTTP/1.1, Close would wait for the read
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

// finish ends the reading of an HTTP/1.1 body once its request is over. The transport may still be reading. When
// net/http finds such a read under way, it ends that read and takes the connection's deadline away. net/http's own
// read of the rest would then never end.
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

// timedWriter writes to an HTTP/2 stream whose client must take a part within every timeout. The connection's
// deadline alone does not catch such a client: nothing is written to the connection while the stream's window is
// shut.
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

// streamPart is how much of a stream's window a client has to open within a timeout, in bytes.
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

// FlushError sends the bytes that were written.
func (w *timedWriter) FlushError() error {
	w.dog.start(w.timeout)
	defer w.dog.stop()
	return w.control.Flush()
}

// Unwrap serves http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
