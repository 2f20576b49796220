package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"cacheproxy/test/system/bench"
)

func TestSteadyCopiesAreAsManyAsAreCached(t *testing.T) {
	w := workload{popularity: bench.NewZipf(20_000, 1), reads: 100, ttl: 600}
	want := 0.0
	for id := 1; id <= 20_000; id++ {
		want += w.cached(id)
	}
	copies := steadyCopies(w, rand.New(rand.NewPCG(1, 1)))
	if got := float64(len(copies)); math.Abs(got-want) > 5*math.Sqrt(want) {
		t.Errorf("%v copies, want about %.0f", got, want)
	}
	for i := 1; i < len(copies); i++ {
		if copies[i-1].seconds > copies[i].seconds {
			t.Fatalf("copy %d is older than the one before it", i)
		}
	}
}

func TestAgeNowLeavesTimeUntilTheEnd(t *testing.T) {
	for _, c := range []struct {
		wanted    float64
		elapsed   time.Duration
		made, all int
		want      int64
	}{
		{600, 0, 0, 100, 600},
		{500, 10 * time.Second, 25, 100, 470},
		{300, 40 * time.Second, 100, 100, 300},
		{10, 10 * time.Second, 25, 100, 0},
	} {
		if got := ageNow(c.wanted, c.elapsed, c.made, c.all); got != c.want {
			t.Errorf("ageNow(%v, %v, %d, %d) = %d, want %d", c.wanted, c.elapsed, c.made, c.all, got, c.want)
		}
	}
}
