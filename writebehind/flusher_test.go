package writebehind

import (
	"context"
	"testing"
	"time"
)

// fixedLease is a queue of which nothing but the lease is asked.
type fixedLease struct{ Queue }

func (fixedLease) Lease() time.Duration { return time.Minute }

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
