package instance

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 3200}, {1 << 20, 3200}, {8 << 20, 400}, {64 << 20, 50}, {1 << 30, 50},
	} {
		if got := growth(c.live); got != c.want {
			t.Errorf("%d bytes live: %d percent, want %d", c.live, got, c.want)
		}
	}
}

// The pace follows what lives, from one collection to the next.
func TestPaceFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	ctx, end := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- paceCollector(ctx) }()
	await := func(about string, fits func(percent int) bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !fits(percent()); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d percent, %d bytes live", about, percent(), liveHeap())
			}
			runtime.GC()
		}
	}
	await("small", func(p int) bool { return p > 2*collectAt })
	large := make([]byte, 128<<20)
	await("large", func(p int) bool { return p == collectAt })
	runtime.KeepAlive(large)
	await("small again", func(p int) bool { return p > 2*collectAt })
	end()
	if err := <-over; err != nil {
		t.Error(err)
	}
}
