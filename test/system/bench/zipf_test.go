package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestZipfDrawsItsProbabilities(t *testing.T) {
	for _, exponent := range []float64{0, 0.8, 1, 1.2} {
		const products, draws = 50, 200_000
		z, r := NewZipf(products, exponent), rand.New(rand.NewPCG(1, 2))
		counts := make([]int, products+1)
		for range draws {
			counts[z.Draw(r)]++
		}
		for id := 1; id <= products; id++ {
			want := z.Probability(id) * draws
			if got := float64(counts[id]); math.Abs(got-want) > 5*math.Sqrt(want) {
				t.Errorf("exponent %v: product %d drawn %v times, want about %.0f", exponent, id, got, want)
			}
		}
		if ratio, want := z.Probability(1)/z.Probability(10), math.Pow(10, exponent); math.Abs(ratio/want-1) > 1e-9 {
			t.Errorf("exponent %v: product 1 is %v times as likely as product 10, want %v", exponent, ratio, want)
		}
	}
}
