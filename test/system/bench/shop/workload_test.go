package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"cacheproxy/test/system/bench"
)

// simulate counts the hits of one product's reads at a cache with a TTL, event
// by event.
func simulate(w workload, events int) float64 {
	r := rand.New(rand.NewPCG(3, 4))
	now, filled, cached, reads, hits := 0.0, 0.0, false, 0, 0
	for range events {
		now += r.ExpFloat64() / (w.reads + w.edits)
		if r.Float64() < w.edits/(w.reads+w.edits) {
			cached = false
			continue
		}
		reads++
		if cached && now-filled < w.ttl {
			hits++
			continue
		}
		cached, filled = true, now
	}
	return float64(hits) / float64(reads)
}

func TestHitRatioAgreesWithASimulation(t *testing.T) {
	one := bench.NewZipf(1, 1)
	for _, w := range []workload{
		{popularity: one, reads: 0.01, ttl: 100},
		{popularity: one, reads: 1, ttl: 10},
		{popularity: one, reads: 0.5, edits: 0.1, ttl: 10},
		{popularity: one, reads: 0.5, edits: 2, ttl: 10},
	} {
		if got, want := w.hitRatio(), simulate(w, 400_000); math.Abs(got-want) > 0.005 {
			t.Errorf("%+v: hit ratio %.4f, simulated %.4f", w, got, want)
		}
	}
}

func TestAgesStayBelowTheTTL(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ edits, mean float64 }{{0, 50}, {1, 1}} {
		w := workload{popularity: bench.NewZipf(1, 1), reads: 1, edits: c.edits, ttl: 100}
		sum := 0.0
		for range 100_000 {
			age := w.age(1, r)
			if age < 0 || age > w.ttl {
				t.Fatalf("edits %v: age %v, want 0 to %v", c.edits, age, w.ttl)
			}
			sum += age
		}
		if mean := sum / 100_000; math.Abs(mean/c.mean-1) > 0.02 {
			t.Errorf("edits %v: mean age %.2f, want %v", c.edits, mean, c.mean)
		}
	}
}
