package fill

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"cacheproxy/store"
	"cacheproxy/test/bubbles"
)

// pattern is the byte of a body at an offset.
func pattern(at int64) byte { return byte(at>>8) ^ byte(at) }

// follow reads a body to its end, with a pause after each part, and reports how much was right of what came.
func follow(r *Reader, pause time.Duration) (n int64, err error) {
	for {
		p, err := r.Next(context.Background())
		if err != nil || len(p) == 0 {
			return n, err
		}
		for i, c := range p {
			if c != pattern(n+int64(i)) {
				return n, fmt.Errorf("wrong byte at %d", n+int64(i))
			}
		}
		n += int64(len(p))
		<-time.After(pause)
	}
}

// produce appends size bytes, one part each millisecond, and ends the body.
func produce(b *body, size int64) (err error) {
	kept := b.keeping
	for at := int64(0); at < size && err == nil; {
		p := make([]byte, min(readSize, size-at))
		for i := range p {
			p[i] = pattern(at + int64(i))
		}
		if kept {
			kept = b.keep(int64(len(p)))
		}
		err = b.append(context.Background(), p, true)
		at += int64(len(p))
		<-time.After(time.Millisecond)
	}
	b.end(err)
	return err
}

// Of the readers of a body that is not kept, a slow one gets all of it in its own time, and no fast one waits for it for longer than
// laggardLimit, whatever the sizes. What waits for the slow one is in the budget, and leaves half of that to others.
func TestReadersGoAtTheirOwnPace(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name       string
		keep, size int64
		memory     int64
		cut        bool
		longest    time.Duration // what a fast reader may lose
		bothSlow   bool
	}{
		{"outgrown", 8 * mb, 12 * mb, 512 * mb, false, 0, false},
		{"never kept", 0, 12 * mb, 512 * mb, false, 0, false},
		{"as long as may wait", 8 * mb, 40 * mb, 512 * mb, false, 0, false},
		{"longer", 8 * mb, 64 * mb, 512 * mb, true, laggardLimit, false},
		{"little memory", 1 * mb, 12 * mb, 16 * mb, true, laggardLimit, false},
		{"all are slow", 1 * mb, 3 * mb, 16 * mb, false, time.Hour, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubbles.Test(t, func(t *testing.T) {
				budget := store.NewMemory(c.memory).Budget()
				b := newBody(budget, c.keep, -1)
				slow, fast := b.leader(), b.leader()
				type result struct {
					n    int64
					err  error
					took time.Duration
				}
				start := time.Now()
				read := func(r *Reader, pause time.Duration) <-chan result {
					done := make(chan result, 1)
					go func() {
						n, err := follow(r, pause)
						r.Detach()
						done <- result{n, err, time.Since(start)}
					}()
					return done
				}
				pause := time.Duration(0)
				if c.bothSlow {
					pause = time.Second
				}
				slowDone, fastDone := read(slow, 2*time.Second), read(fast, pause)
				if err := produce(b, c.size); err != nil {
					t.Fatal(err)
				}
				if r := <-fastDone; r.err != nil || r.n != c.size || r.took > time.Duration(c.size/readSize)*time.Millisecond+c.longest {
					t.Errorf("the fast reader: %d bytes, %v, after %v", r.n, r.err, r.took)
				}
				if reserved := budget.Reserved(); !c.bothSlow && !c.cut && (reserved == 0 || reserved > c.memory/8) {
					t.Errorf("%d bytes are reserved for the slow reader", reserved)
				}
				r := <-slowDone
				if cut := errors.Is(r.err, ErrLaggard); cut != c.cut || !cut && (r.err != nil || r.n != c.size) {
					t.Errorf("the slow reader: %d of %d bytes, %v", r.n, c.size, r.err)
				}
				if reserved := budget.Reserved(); reserved != 0 {
					t.Errorf("in the end %d bytes are reserved", reserved)
				}
			})
		})
	}
}

// One slow reader alone is waited for, as the origin would wait for a client, and needs no more than a window.
func TestOnlyReaderSetsThePace(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		budget := store.NewMemory(64 << 20).Budget()
		b := newBody(budget, 1<<20, -1)
		r := b.leader()
		done := make(chan error, 1)
		go func() { done <- produce(b, 4<<20) }()
		<-time.After(time.Hour)
		if b.size > 1<<20+readSize {
			t.Errorf("%d bytes came while nobody read", b.size)
		}
		late, ok := b.attach()
		if !ok {
			t.Error("nobody has begun to read, and the beginning is gone")
		}
		late.Detach()
		if n, err := follow(r, time.Millisecond); n != 4<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if _, ok := b.attach(); ok {
			t.Error("the beginning is there when it was left behind")
		}
		r.Detach()
		if err := <-done; err != nil || budget.Reserved() != 0 {
			t.Errorf("%v, %d bytes are reserved", err, budget.Reserved())
		}
	})
}
