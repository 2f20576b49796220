package instance

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// collectAt is the growth of the heap, in percent, at which garbage is collected unless GOGC says otherwise. Most of the heap
	// is copies that stay; at Go's own 100 the process would need more than twice their size.
	collectAt = 50
	// leastGrowth is by how much the heap grows at least, in bytes: of a heap of a few MiB, collectAt percent are the garbage of a hundred
	// fills, and a collection costs as much as these.
	leastGrowth = 32 << 20
	// leastLive is what a heap is taken to have that lives, in bytes.
	leastLive = 1 << 20
)

// paceCollector has garbage collected when the heap has grown by collectAt percent or by leastGrowth, whichever is more, until ctx ends.
// After each collection it looks what lives. What the environment says wins, and a limit of memory holds in any case.
func paceCollector(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	for {
		collected := make(chan struct{})
		runtime.AddCleanup(new([64]byte), func(c chan struct{}) { close(c) }, collected)
		if p := growth(liveHeap()); p != percent() {
			debug.SetGCPercent(p)
		}
		select {
		case <-collected:
		case <-ctx.Done():
			return nil
		}
	}
}

// growth is by how much a heap may grow of which so many bytes live, in percent.
func growth(live uint64) int {
	return max(collectAt, int(leastGrowth*100/max(live, leastLive)))
}

// liveHeap is what the last collection found to live, in bytes.
func liveHeap() uint64 { return read("/gc/heap/live:bytes") }

// percent is the growth in force.
func percent() int { return int(read("/gc/gogc:percent")) }

func read(metric string) uint64 {
	s := []metrics.Sample{{Name: metric}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
