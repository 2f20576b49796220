package observe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineWriterWritesAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var lost atomic.Int64
		w := NewLineWriter(&out, func() { lost.Add(1) })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		io.WriteString(w, "one\n")
		synctest.Wait()
		if out.String() != "one\n" {
			t.Errorf("not written while it runs: %q", &out)
		}
		io.WriteString(w, "two\n")
		io.WriteString(w, "three\n")
		stop()
		if err := <-done; err != nil || out.String() != "one\ntwo\nthree\n" || lost.Load() != 0 {
			t.Errorf("at the end: %q, %d lost, %v", &out, lost.Load(), err)
		}
	})
}

// A reader that has stopped reading holds up neither those who log nor the end; what is lost is counted.
func TestLineWriterNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, release := io.Pipe()
		var lost atomic.Int64
		w := NewLineWriter(release, func() { lost.Add(1) })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		line := []byte(strings.Repeat("x", 1023) + "\n")
		start := time.Now()
		w.Write(line) // under way when the others come
		synctest.Wait()
		const fit = maxPending / 1024
		for range fit + 7 {
			if n, err := w.Write(line); n != len(line) || err != nil {
				t.Fatalf("a line was refused: %d, %v", n, err)
			}
		}
		if lost.Load() != 7 || time.Since(start) != 0 {
			t.Errorf("lost %d lines, want 7; took %v", lost.Load(), time.Since(start))
		}
		stop()
		if err := <-done; err != nil || time.Since(start) != flushTimeout {
			t.Errorf("ended after %v: %v", time.Since(start), err)
		}
		stuck.Close()
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestLineWriterCountsWhatTheOutputLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int64
		w := NewLineWriter(broken{}, func() { lost.Add(1) })
		ctx, stop := context.WithCancel(t.Context())
		io.WriteString(w, "a\n")
		io.WriteString(w, "b\n")
		stop()
		if err := w.Run(ctx); err != nil || lost.Load() != 2 {
			t.Errorf("lost %d, %v", lost.Load(), err)
		}
	})
}
