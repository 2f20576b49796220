package main

import (
	"math"
	"math/rand/v2"

	"cacheproxy/test/system/bench"
)

// workload is a stream of independent reads and edits, drawn from one popularity, before a cache whose copies live for
// ttl.
type workload struct {
	popularity bench.Zipf
	reads      float64 // per second
	edits      float64 // per second; each ends the copy's life
	ttl        float64 // seconds
}

// lifetime is the mean life of a copy of this product, in seconds: until its first edit, and at most the TTL.
func (w workload) lifetime(id int) float64 {
	edits := w.edits * w.popularity.Probability(id)
	if edits*w.ttl < 1e-9 {
		return w.ttl
	}
	return -math.Expm1(-edits*w.ttl) / edits
}

// cached is the probability that a read finds a copy of this product in the steady state. A copy lives for L, and then
// no read comes for 1/λ on average, so the probability is λL/(1+λL).
func (w workload) cached(id int) float64 {
	x := w.reads * w.popularity.Probability(id) * w.lifetime(id)
	return x / (1 + x)
}

// hitRatio is the share of reads that find a copy: the most that a cache with room for everything can reach.
func (w workload) hitRatio() float64 {
	sum := 0.0
	for id := 1; id <= w.popularity.Products(); id++ {
		sum += w.popularity.Probability(id) * w.cached(id)
	}
	return sum
}

// age draws the age, in seconds, of a copy that is found in the steady state. Without edits all ages below the TTL are
// equally likely. With edits old copies are rarer, because fewer copies live that long.
func (w workload) age(id int, r *rand.Rand) float64 {
	edits, u := w.edits*w.popularity.Probability(id), r.Float64()
	if edits*w.ttl < 1e-9 {
		return u * w.ttl
	}
	return -math.Log1p(u*math.Expm1(-edits*w.ttl)) / edits
}
