package instance

import (
	"math"
	"testing"
)

func TestHeapFloor(t *testing.T) {
	for _, c := range []struct{ size, limit, want int64 }{
		{1 << 20, math.MaxInt64, 8 << 20},
		{64 << 20, math.MaxInt64, 8 << 20},
		{128 << 20, math.MaxInt64, 16 << 20},
		{512 << 20, math.MaxInt64, 64 << 20},
		{64 << 30, math.MaxInt64, 64 << 20},
		{256 << 20, 204 << 20, 204 << 17}, // of a container of 512 MiB
		{1 << 20, 16 << 20, 2 << 20},
	} {
		if got := heapFloor(c.size, c.limit); got != c.want {
			t.Errorf("copies of %d bytes, a limit of %d: %d, want %d", c.size, c.limit, got, c.want)
		}
	}
}
