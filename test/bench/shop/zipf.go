package main

import (
	"math"
	"math/rand/v2"
	"sort"
)

// zipf is the popularity of products: product i, counted from 1, is asked for
// with a probability proportional to i^-exponent. (math/rand's needs an
// exponent above one, and shoppers are nearer to one.)
type zipf struct {
	upTo []float64 // upTo[i] is the probability of product i+1 or one before it
}

func newZipf(products int, exponent float64) zipf {
	upTo := make([]float64, products)
	sum := 0.0
	for i := range upTo {
		sum += math.Pow(float64(i+1), -exponent)
		upTo[i] = sum
	}
	for i := range upTo {
		upTo[i] /= sum
	}
	upTo[products-1] = 1 // whatever rounding made of it
	return zipf{upTo}
}

// draw returns the id of a product.
func (z zipf) draw(r *rand.Rand) int {
	u := r.Float64()
	return 1 + sort.Search(len(z.upTo)-1, func(i int) bool { return z.upTo[i] > u })
}

// probability is that of the product with this id.
func (z zipf) probability(id int) float64 {
	if id == 1 {
		return z.upTo[0]
	}
	return z.upTo[id-1] - z.upTo[id-2]
}

// workload is a stream of reads and edits that are independent of each other
// and drawn from one popularity, before a cache whose copies live for ttl.
type workload struct {
	popularity zipf
	reads      float64 // per second
	edits      float64 // per second; each ends the copy's life
	ttl        float64 // seconds
}

// lifetime is the mean life, in seconds, of a copy of this product: until its
// first edit, and at most the TTL.
func (w workload) lifetime(id int) float64 {
	edits := w.edits * w.popularity.probability(id)
	if edits*w.ttl < 1e-9 {
		return w.ttl
	}
	return -math.Expm1(-edits*w.ttl) / edits
}

// cached is the probability that a read finds a copy of this product, in the
// steady state: a copy lives for L, then nobody asks for 1/λ, so λL/(1+λL).
func (w workload) cached(id int) float64 {
	x := w.reads * w.popularity.probability(id) * w.lifetime(id)
	return x / (1 + x)
}

// hitRatio is the share of reads that find a copy: the most that a cache with
// room for everything can reach.
func (w workload) hitRatio() float64 {
	sum := 0.0
	for id := 1; id <= len(w.popularity.upTo); id++ {
		sum += w.popularity.probability(id) * w.cached(id)
	}
	return sum
}

// age draws how old, in seconds, a copy is that is found in the steady state.
// Without edits every age below the TTL is as likely as any other; with them
// the old ones are rarer, because fewer copies live to see them.
func (w workload) age(id int, r *rand.Rand) float64 {
	edits, u := w.edits*w.popularity.probability(id), r.Float64()
	if edits*w.ttl < 1e-9 {
		return u * w.ttl
	}
	return -math.Log1p(u*math.Expm1(-edits*w.ttl)) / edits
}
