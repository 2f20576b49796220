package bench

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Zipf is the popularity of products: product i, counted from 1, is asked for
// with a probability proportional to i^-exponent. (math/rand's needs an
// exponent above one, and shoppers are nearer to one.)
type Zipf struct {
	upTo []float64 // upTo[i] is the probability of product i+1 or one before it
}

// NewZipf is that of as many products.
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
	upTo[products-1] = 1 // whatever rounding made of it
	return Zipf{upTo}
}

// Products is how many there are.
func (z Zipf) Products() int { return len(z.upTo) }

// Draw returns the id of a product.
func (z Zipf) Draw(r *rand.Rand) int {
	u := r.Float64()
	return 1 + sort.Search(len(z.upTo)-1, func(i int) bool { return z.upTo[i] > u })
}

// Probability is that of the product with this id.
func (z Zipf) Probability(id int) float64 {
	if id == 1 {
		return z.upTo[0]
	}
	return z.upTo[id-1] - z.upTo[id-2]
}
