package bench

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const after = " S 41 42 42 0 -1 4194560 100 200 0 0 150 50 7 3 20 0 1 0 12345 1000 10\n"
	for name, text := range map[string]string{
		"plain":                  "42 (postgres)" + after,
		"spaces and parentheses": "42 (a ) b (c) S 1 2)" + after,
	} {
		got, err := parseStat([]byte(text))
		want := processTimes{parent: 41, own: 2 * time.Second, children: 100 * time.Millisecond}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, text := range []string{"", "42 (postgres", "42 (postgres) S 1", "42 (p) S x 42 42 0 -1 4 1 2 0 0 1 5 7 3 20 0 1"} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func TestOwnCPUGrows(t *testing.T) {
	before, err := CPUOfTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		after, err := CPUOfTree(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
		if n > 1_000_000 {
			t.Fatal("the CPU time does not grow while this process works")
		}
	}
}

// Less than a tick is seen: what is measured for a second is not to be wrong by some in a hundred.
func TestCPUIsCountedFinerThanTicks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a clock of another process")
	}
	before, ok := ownCPU(os.Getpid())
	for range 1000 {
		now, still := ownCPU(os.Getpid())
		if !ok || !still {
			t.Fatal("the clock of a process that runs cannot be read")
		}
		if step := now - before; step > 0 && step < tick {
			return
		}
		before = now
	}
	t.Errorf("no step is less than a tick of %v", tick)
}
