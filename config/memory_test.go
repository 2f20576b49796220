package config

import (
	"math"
	"testing"
)

// A container without a limit has none; one with a limit leaves a tenth of it to everything but Go's heap.
func TestContainerMemory(t *testing.T) {
	old := containerLimit
	t.Cleanup(func() { containerLimit = old })
	for _, c := range []struct {
		limit   uint64
		err     error
		want    int64
		limited bool
	}{
		{1 << 30, nil, 1 << 30, true},
		{0, errNoLimit, 0, false},
		{0, nil, 0, false},
		{math.MaxUint64, nil, 0, false}, // how the first version of control groups says "no limit"
	} {
		containerLimit = func() (uint64, error) { return c.limit, c.err }
		if got, limited := ContainerMemory(); got != c.want || limited != c.limited {
			t.Errorf("limit %d, %v: %d, %v", c.limit, c.err, got, limited)
		}
	}
	for size, want := range map[int64]int64{0: 900, 500: 400, 800: 225, 2000: 225} {
		if got := GoLimit(1000, size); got != want {
			t.Errorf("GoLimit(1000, %d) = %d, want %d", size, got, want)
		}
	}
}
