package observe

import (
	"bytes"
	"context"
	"io"
	"time"

	"cacheproxy/lockorder"
)

const (
	// maxPending is how many bytes of lines wait for a slow reader; beyond it lines are dropped. About ten thousand lines.
	maxPending = 4 << 20
	// flushTimeout bounds how long the end of a LineWriter waits for a reader that does not read.
	flushTimeout = 2 * time.Second
)

// LineWriter takes lines without ever waiting for whoever reads them, and writes them in the background. What does not
// fit into its bounded buffer is dropped whole and counted. It is safe for concurrent use.
type LineWriter struct {
	out     io.Writer
	dropped func()

	mu      lockorder.Mutex[lockorder.LineWriter]
	pending []byte // lines not handed to out yet
	spare   []byte // the buffer that the last write is done with
	wake    chan struct{}
}

// NewLineWriter makes a writer in front of out; dropped is called for each line that is lost, and must not block. It
// starts nothing: lines wait until Run.
func NewLineWriter(out io.Writer, dropped func()) *LineWriter {
	return &LineWriter{out: out, dropped: dropped, wake: make(chan struct{}, 1)}
}

// Write takes one line, which is not kept. It does not fail: a request is not to suffer because the log cannot be written.
func (w *LineWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	fits := len(w.pending)+len(line) <= maxPending
	if fits {
		w.pending = append(w.pending, line...)
	}
	w.mu.Unlock()
	if !fits {
		w.dropped()
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
	timeout := time.NewTimer(flushTimeout)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C: // stuck in a write that nothing but the end of the process can end
	}
	return nil
}

// drain writes what is pending whenever there is something, and once more when ctx has ended. An output that fails, such
// as a full disk, loses the lines of that write and counts them; the next may succeed.
func (w *LineWriter) drain(ctx context.Context) {
	for {
		select {
		case <-w.wake:
			w.flush()
		case <-ctx.Done():
			w.flush()
			return
		}
	}
}

func (w *LineWriter) flush() {
	w.mu.Lock()
	lines := w.pending
	w.pending = w.spare[:0]
	w.mu.Unlock()
	if len(lines) > 0 {
		if _, err := w.out.Write(lines); err != nil {
			for range bytes.Count(lines, []byte{'\n'}) {
				w.dropped()
			}
		}
	}
	w.mu.Lock()
	w.spare = lines[:0]
	w.mu.Unlock()
}
