package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestZipfDrawsItsProbabilities(t *testing.T) {
	for _, exponent := range []float64{0, 0.8, 1, 1.2} {
		const products, draws = 50, 200_000
		z, r := newZipf(products, exponent), rand.New(rand.NewPCG(1, 2))
		counts := make([]int, products+1)
		for range draws {
			counts[z.draw(r)]++
		}
		for id := 1; id <= products; id++ {
			want := z.probability(id) * draws
			if got := float64(counts[id]); math.Abs(got-want) > 5*math.Sqrt(want) {
				t.Errorf("exponent %v: product %d drawn %v times, want about %.0f", exponent, id, got, want)
			}
		}
		if ratio, want := z.probability(1)/z.probability(10), math.Pow(10, exponent); math.Abs(ratio/want-1) > 1e-9 {
			t.Errorf("exponent %v: product 1 is %v times as likely as product 10, want %v", exponent, ratio, want)
		}
	}
}

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
	one := newZipf(1, 1)
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
		w := workload{popularity: newZipf(1, 1), reads: 1, edits: c.edits, ttl: 100}
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
