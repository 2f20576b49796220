package bench

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Zipf is the popularity of products: the probability of product i, counted from 1, is proportional to i^-exponent.
// (math/rand's Zipf needs an exponent above one, and shoppers are nearer to one.)
type Zipf struct {
	upTo []float64 // upTo[i] is the probability of a product up to i+1
}

// NewZipf is the popularity of the given number of products.
func NewZipf(products int, exponent float64) Zipf {
	upTo := make([]float64, products)
	sum := 0.0
	for i := range upTo {
		sum += math.Pow(float64(i+1), -exponent)
		upTo[i] = sum
	}
	for i := range upTo {
		upTo[i] /= sum
	}
	upTo[products-1] = 1 // without rounding errors
	return Zipf{upTo}
}

// Products is the number of products.
func (z Zipf) Products() int { return len(z.upTo) }

// Draw returns the id of a product.
func (z Zipf) Draw(r *rand.Rand) int {
	u := r.Float64()
	return 1 + sort.Search(len(z.upTo)-1, func(i int) bool { return z.upTo[i] > u })
}

// Probability is the probability of the product with this id.
func (z Zipf) Probability(id int) float64 {
	if id == 1 {
		return z.upTo[0]
	}
	return z.upTo[id-1] - z.upTo[id-2]
}
