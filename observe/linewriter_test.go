package observe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/test/bubbles"
)

func TestLineWriterWritesAllInOrder(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := NewLineWriter(&out)
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
		if err := <-done; err != nil || out.String() != "one\ntwo\nthree\n" || w.Dropped() != 0 {
			t.Errorf("at the end: %q, %d lost, %v", &out, w.Dropped(), err)
		}
	})
}

// outputs is what was written, by the write.
type outputs struct {
	mu  sync.Mutex // time that passes in a bubble orders nothing
	all []string
}

func (o *outputs) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, string(p))
	return len(p), nil
}

// take is what was written since it was taken last.
func (o *outputs) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.all
	o.all = nil
	return all
}

// A line that comes alone is written at once; those that come right after one go out together, and soon.
func TestLineWriterGathersLines(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		var out outputs
		w := NewLineWriter(&out)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		for round := range 3 {
			for _, line := range []string{"one\n", "two\n", "three\n"} {
				io.WriteString(w, line)
				synctest.Wait()
			}
			if all := out.take(); !slices.Equal(all, []string{"one\n"}) {
				t.Errorf("round %d: at once: %q", round, all)
			}
			<-time.After(gatherFor)
			synctest.Wait()
			if all := out.take(); !slices.Equal(all, []string{"two\nthree\n"}) {
				t.Errorf("round %d: then: %q", round, all)
			}
			<-time.After(time.Second)
			synctest.Wait()
		}
		stop()
		<-done
	})
}

// A reader that has stopped reading holds up neither those who log nor the end; what is lost is counted.
func TestLineWriterNeverWaits(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		stuck, release := io.Pipe()
		w := NewLineWriter(release)
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
		if w.Dropped() != 7 || time.Since(start) != 0 {
			t.Errorf("lost %d lines, want 7; took %v", w.Dropped(), time.Since(start))
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
	bubbles.Test(t, func(t *testing.T) {
		w := NewLineWriter(broken{})
		ctx, stop := context.WithCancel(t.Context())
		io.WriteString(w, "a\n")
		io.WriteString(w, "b\n")
		stop()
		if err := w.Run(ctx); err != nil || w.Dropped() != 2 {
			t.Errorf("lost %d, %v", w.Dropped(), err)
		}
	})
}

// Lines of audit have a room that no other lines fill, go out first, and outlast an output that fails for a while. Where nobody reads,
// the room says that it is full; what comes all the same has an end, and is counted.
func TestAuditLinesAreNotDropped(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		out := new(faulty)
		out.fails.Store(true)
		w := NewLineWriter(out)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		for range maxPending/1024 + 3 {
			w.Write(line)
		}
		io.WriteString(w.Audit(), "purged\n")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		if lost := w.Dropped(); lost != maxPending/1024+3 || w.AuditFull() {
			t.Errorf("lost %d lines before the output works, audit full: %t", lost, w.AuditFull())
		}
		out.fails.Store(false)
		<-time.After(2 * retryEvery)
		synctest.Wait()
		if out.String() != "purged\n" {
			t.Errorf("written: %q", out.String())
		}
		stop()
		<-done
	})
}

func TestAuditIsFull(t *testing.T) {
	w := NewLineWriter(io.Discard)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for n := range maxAudit/1024 + 5 {
		if w.AuditFull() != (n*1024 >= auditRoom) {
			t.Fatalf("full after %d lines: %t", n, w.AuditFull())
		}
		w.Audit().Write(line)
	}
	if w.Dropped() != 5 {
		t.Errorf("lost %d lines beyond the bound, want 5", w.Dropped())
	}
}

// faulty is an output that fails and writes nothing as long as it says so.
type faulty struct {
	bytes.Buffer
	fails atomic.Bool
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.fails.Load() {
		return 0, errors.New("disk full")
	}
	return f.Buffer.Write(p)
}
