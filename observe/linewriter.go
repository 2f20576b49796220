package observe

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

const (
	// maxPending is how many bytes of lines wait for a slow reader; beyond it lines are dropped. About ten thousand lines.
	maxPending = 4 << 20
	// auditRoom is how many bytes of audit lines wait for a slow reader until there is no room for another call: some ten thousand.
	auditRoom = 4 << 20
	// maxAudit bounds those of calls that were under way when the room was full, and of what no call has asked for.
	maxAudit = auditRoom + 1<<20
	// gatherFor is how long lines wait after a write for others to go out with: to wake up for each, and to write it, costs more than to make
	// it. The first line after that time waits for nothing.
	gatherFor = 2 * time.Millisecond
	// retryEvery is how often audit lines are tried again that an output has not taken.
	retryEvery = time.Second
	// flushTimeout bounds how long the end of a LineWriter waits for a reader that does not read.
	flushTimeout = 2 * time.Second
)

// LineWriter takes lines without ever waiting for whoever reads them, and writes them in the background. What does not
// fit into its bounded buffer is dropped whole and counted. It is safe for concurrent use.
//
// Lines of audit, of who did what, have a room of their own that no other lines fill. They are not dropped: who wants to do something
// that leaves one asks AuditFull first. They go out before other lines.
type LineWriter struct {
	out  io.Writer
	lost atomic.Uint64

	mu      lockorder.Mutex[lockorder.LineWriter]
	pending []byte // lines not handed to out yet
	spare   []byte // the buffer that the last write is done with
	audit   []byte // lines of audit that out has not taken yet
	wake    chan struct{}
}

// NewLineWriter makes a writer in front of out. It starts nothing: lines wait until Run.
func NewLineWriter(out io.Writer) *LineWriter {
	return &LineWriter{out: out, wake: make(chan struct{}, 1)}
}

// Dropped is how many lines were lost.
func (w *LineWriter) Dropped() uint64 { return w.lost.Load() }

// Write takes one line, which is not kept. It does not fail: a request is not to suffer because the log cannot be written.
func (w *LineWriter) Write(line []byte) (int, error) { return w.take(&w.pending, maxPending, line) }

// Audit takes lines of audit, one with each Write.
func (w *LineWriter) Audit() io.Writer { return auditLines{w} }

type auditLines struct{ *LineWriter }

// Write implements io.Writer.
func (w auditLines) Write(line []byte) (int, error) { return w.take(&w.audit, maxAudit, line) }

// AuditFull reports whether so many lines of audit wait that nothing more is to be done that leaves one.
func (w *LineWriter) AuditFull() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.audit) >= auditRoom
}

func (w *LineWriter) take(room *[]byte, limit int, line []byte) (int, error) {
	w.mu.Lock()
	fits := len(*room)+len(line) <= limit
	if fits {
		*room = append(*room, line...)
	}
	w.mu.Unlock()
	if !fits {
		w.lost.Add(1)
		return len(line), nil
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// Run writes lines until ctx ends, and then those that are left, for two seconds at most: a reader that has stopped
// reading must not keep the process from its end.
func (w *LineWriter) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.drain(ctx)
	}()
	<-ctx.Done()
	select {
	case <-done:
	case <-time.After(flushTimeout): // stuck in a write that nothing but the end of the process can end
	}
	return nil
}

// drain writes what is pending whenever there is something, and once more when ctx has ended. An output that fails, such
// as a full disk, loses the lines of that write and counts them; the next may succeed. Those of audit are tried again.
func (w *LineWriter) drain(ctx context.Context) {
	gathered := time.NewTimer(gatherFor)
	defer gathered.Stop()
	for {
		var retry <-chan time.Time
		if !w.flushAudit() {
			retry = time.After(retryEvery)
		}
		if w.flush() {
			gathered.Reset(gatherFor)
			select {
			case <-gathered.C:
			case <-ctx.Done():
			}
		}
		select {
		case <-w.wake:
			runtime.Gosched() // lines of requests that end together go out together
		case <-retry:
		case <-ctx.Done():
			if !w.flushAudit() {
				w.mu.Lock()
				w.lost.Add(uint64(bytes.Count(w.audit, []byte{'\n'})))
				w.mu.Unlock()
			}
			w.flush()
			return
		}
	}
}

// flushAudit writes lines of audit, and reports whether the output has taken them.
func (w *LineWriter) flushAudit() bool {
	w.mu.Lock()
	lines := w.audit[:len(w.audit):len(w.audit)] // which others append to
	w.mu.Unlock()
	if len(lines) == 0 {
		return true
	}
	n, err := w.out.Write(lines)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.audit = w.audit[n:]; len(w.audit) == 0 {
		w.audit = nil
	}
	return err == nil
}

// flush writes lines of no audit, and reports whether there were any.
func (w *LineWriter) flush() bool {
	w.mu.Lock()
	lines := w.pending
	w.pending = w.spare[:0]
	w.mu.Unlock()
	if len(lines) > 0 {
		if _, err := w.out.Write(lines); err != nil {
			w.lost.Add(uint64(bytes.Count(lines, []byte{'\n'})))
		}
	}
	w.mu.Lock()
	w.spare = lines[:0]
	w.mu.Unlock()
	return len(lines) > 0
}
