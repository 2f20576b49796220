package leaderboard

import (
	"errors"
	"fmt"
	"math"
)

// ErrScore says that a score cannot be kept as it is.
var ErrScore = errors.New("score cannot be kept")

// Exact is the largest number up to which every integer is one of those that scores are kept as, which are those of IEEE 754 with 64 bits.
const Exact = 1 << 53

// CheckScores says what keeps the scores of one call from being kept, whatever is there: ErrScore, or ErrTooLarge where those of a player are too
// much for a sum by themselves; nil: nothing. So a call that no board can take makes none.
func (r *Rules) CheckScores(all []Submission) error {
	weights := map[string]float64{}
	for _, s := range all {
		if err := r.checkScore(s.Score); err != nil {
			return err
		}
		if r.Aggregate != Sum {
			continue
		}
		weight := math.Abs(s.Score)
		if weights[s.Player] > Exact-weight {
			return ErrTooLarge
		}
		weights[s.Player] += weight
	}
	return nil
}

// checkScore says what keeps a score from being kept as it is, as ErrScore; nil: nothing.
func (r *Rules) checkScore(score float64) error {
	switch {
	case math.IsNaN(score) || math.IsInf(score, 0):
		return fmt.Errorf("%w: it is no finite number", ErrScore)
	case math.Abs(score) > Exact:
		return fmt.Errorf("%w: it is beyond 2^53, up to which integers are exact", ErrScore)
	case r.Aggregate == Sum && score != math.Trunc(score):
		return fmt.Errorf("%w: sums are of integers", ErrScore)
	}
	return nil
}
