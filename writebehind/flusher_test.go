package writebehind

import (
	"context"
	"errors"
	"testing"
	"time"
)

// fixedLease is a queue of which nothing but the lease is asked.
type fixedLease struct{ Queue }

func (fixedLease) Lease() time.Duration { return time.Minute }

// released notes what is given back, and hears nothing of it at first.
type released struct {
	fixedLease
	partitions chan int
}

func (r released) Release(_ context.Context, o Ownership) error {
	r.partitions <- o.Partition
	return errors.New("the server does not answer")
}

// A partition that is more than this instance's share is given back until the server has heard of it: as long as it is this instance's
// there, nobody else makes its writes.
func TestGivenBackUntilItIsHeardOf(t *testing.T) {
	q := released{partitions: make(chan int, 1)}
	f := NewFlusher(FlusherOptions{Queue: q})
	f.own([]Ownership{{Partition: 7, Token: 1}}, time.Now())
	for range 3 {
		f.own([]Ownership{{Partition: 7, Token: 1, Surplus: true}}, time.Now())
		f.dispatch(time.Now())
		f.workers.Wait()
		select {
		case p := <-q.partitions:
			if p != 7 || f.parts[7] != nil {
				t.Fatalf("%d is given back, with %v", p, f.parts)
			}
		default:
			t.Fatal("it is not given back")
		}
	}
}

// What was read for an ownership that has ended says nothing to the next, which has to read from the beginning.
func TestReadForAnOwnershipBefore(t *testing.T) {
	f := NewFlusher(FlusherOptions{Queue: fixedLease{}})
	f.own([]Ownership{{Partition: 1, Token: 1}}, time.Now())
	if want := f.wanted(); want[1] != "0" {
		t.Fatalf("read after %v", want)
	}
	f.read(context.Background(), []News{{Partition: 1, Ref: Ref{Entry: "4-0", ID: "a", Key: "k"}}})
	if want := f.wanted(); want[1] != "4-0" {
		t.Fatalf("read after %v", want)
	}
	f.lose(f.parts[1])
	f.own([]Ownership{{Partition: 1, Token: 2}}, time.Now())
	f.read(context.Background(), []News{{Partition: 1, Ref: Ref{Entry: "5-0", ID: "b", Key: "k"}}})
	if want := f.wanted(); want[1] != "0" {
		t.Errorf("the next ownership reads after %v, and so not what is before", want)
	}
}
