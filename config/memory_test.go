package config

import (
	"math"
	"strings"
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

// Copies that may take more than there is are warned about, where the size is written and where it is the default.
func TestWarningOfMoreMemoryThanThereIs(t *testing.T) {
	old := memoryLimit
	t.Cleanup(func() { memoryLimit = old })
	for _, c := range []struct {
		memory string
		limit  uint64
		err    error
		want   string
	}{
		{"memory: {size: 2GiB}\n", 1 << 30, nil, "cacheproxy.yaml:1: memory.size: is 2GiB, more than the 1024 MiB that this machine"},
		{"", 256 << 20, nil, "cacheproxy.yaml:1: memory.size: is 512MiB, more than the 256 MiB that this machine"},
		{"memory: {size: 1GiB}\n", 1 << 30, nil, ""},
		{"memory: {size: auto}\n", 1 << 30, nil, ""},
		{"memory: {size: 2GiB}\n", 0, errNoLimit, ""},
		{"memory: {size: 2GiB}\n", math.MaxUint64, nil, ""},
	} {
		memoryLimit = func() (uint64, error) { return c.limit, c.err }
		got := mustLoad(t, c.memory+oneUpstream).Warnings.Error()
		if c.want == "" && strings.Contains(got, "memory.size") || !strings.Contains(got, c.want) {
			t.Errorf("%q of %d, %v: warnings %s, want %s", c.memory, c.limit, c.err, got, c.want)
		}
	}
}
