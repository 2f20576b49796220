package leaderboard

import (
	"errors"
	"fmt"
	"math"
)

// ErrScore says that a score cannot be stored exactly.
var ErrScore = errors.New("score cannot be kept")

// Exact is the largest number up to which every integer is a 64-bit IEEE 754 number, as which scores are stored.
const Exact = 1 << 53

// CheckScores checks the scores of one call, whatever the board has. The error is ErrScore, or ErrTooLarge if the
// scores of one player are too large for a sum by themselves. So a call that no board can accept makes no board.
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

// checkScore returns ErrScore if a score cannot be stored exactly.
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
