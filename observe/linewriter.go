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
	// maxPending bounds the bytes of lines that wait for a slow reader, some ten thousand lines. Further lines are
	// dropped.
	maxPending = 4 << 20
	// auditRoom is the size of waiting audit lines at which AuditFull refuses further calls, in bytes: some ten
	// thousand lines.
	auditRoom = 4 << 20
	// maxAudit bounds all waiting audit lines. The room above auditRoom is for calls that were running when auditRoom
	// was reached, and for lines that no call causes.
	maxAudit = auditRoom + 1<<20
	// gatherFor is how long lines wait after a write, so that several go out together: waking up and writing for each
	// line costs more than making the line. The first line after gatherFor is written at once.
	gatherFor = 2 * time.Millisecond
	// retryEvery is the time between tries to write audit lines to a failing output.
	retryEvery = time.Second
	// flushTimeout bounds how long Run waits at the end for a reader that does not read.
	flushTimeout = 2 * time.Second
)

// LineWriter takes lines without ever waiting for their reader, and writes lines in the background. A line that does
// not fit into the bounded buffer is dropped whole and counted. LineWriter is safe for concurrent use.
//
// Audit lines, which say who did what, have a buffer of their own that other lines cannot fill. Audit lines are not
// dropped: callers ask AuditFull before an action that leaves an audit line. Audit lines are written before other
// lines.
type LineWriter struct {
	out  io.Writer
	lost atomic.Uint64

	mu      lockorder.Mutex[lockorder.LineWriter]
	pending []byte // lines not yet given to out
	spare   []byte // buffer of the last finished write
	audit   []byte // audit lines that out has not taken yet
	wake    chan struct{}
}

// NewLineWriter makes a writer in front of out. Lines wait until Run is called.
func NewLineWriter(out io.Writer) *LineWriter {
	return &LineWriter{out: out, wake: make(chan struct{}, 1)}
}

// Dropped is the number of lost lines.
func (w *LineWriter) Dropped() uint64 { return w.lost.Load() }

// Write takes one line and does not keep the slice. Write does not fail: a request must not suffer because the log
// cannot be written.
func (w *LineWriter) Write(line []byte) (int, error) { return w.take(&w.pending, maxPending, line) }

// Audit is a writer for audit lines, one with each Write.
func (w *LineWriter) Audit() io.Writer { return auditLines{w} }

type auditLines struct{ *LineWriter }

// Write implements io.Writer.
func (w auditLines) Write(line []byte) (int, error) { return w.take(&w.audit, maxAudit, line) }

// AuditFull reports whether so many audit lines wait that callers must not start an action that leaves one.
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

// Run writes lines until ctx ends, and then the remaining lines, for two seconds at most: a reader that has stopped
// reading must not keep the process from ending.
func (w *LineWriter) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.drain(ctx)
	}()
	<-ctx.Done()
	select {
	case <-done:
	case <-time.After(flushTimeout): // drain is stuck in a write that only the end of the process can end
	}
	return nil
}

// drain writes waiting lines whenever there are any, and once more after ctx has ended. A failing output, such as a
// full disk, loses the lines of that write, which are counted; the next write may succeed. Audit lines are tried again.
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

// flushAudit writes the waiting audit lines, and reports whether the output has taken them.
func (w *LineWriter) flushAudit() bool {
	w.mu.Lock()
	lines := w.audit[:len(w.audit):len(w.audit)] // calls append further lines meanwhile
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

// flush writes the other lines, and reports whether there were any.
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
