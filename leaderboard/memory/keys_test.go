package memory

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cacheproxy/leaderboard"
)

// Idempotency keys end, and nothing of them stays: what is kept is as much as the submissions of a time, however long the process lives.
func TestForgetsKeys(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := New(func() time.Time { return now })
	rules := &leaderboard.Rules{Route: "scores", Aggregate: leaderboard.Best, Window: leaderboard.Window{Span: leaderboard.AllTime}, MaxBoards: 1, Repeats: time.Minute}
	submit := func(r *leaderboard.Rules, key, print string) (repeated bool, err error) {
		_, repeated, err = m.Submit(t.Context(), r, leaderboard.Request{Board: "a", Key: key, Print: print, Submissions: []leaderboard.Submission{{Player: "ada", Score: 1}}})
		return repeated, err
	}
	const each = 100 // keys within Repeats
	for i := range 20 * each {
		now = now.Add(rules.Repeats / each)
		if repeated, err := submit(rules, fmt.Sprint(i), ""); repeated || err != nil {
			t.Fatalf("%v, %v", repeated, err)
		}
		if back := max(0, i-each+1); i%each == each/2 {
			if repeated, err := submit(rules, fmt.Sprint(back), ""); !repeated || err != nil {
				t.Fatalf("key %d is forgotten at %d: %v", back, i, err)
			}
			if _, err := submit(rules, fmt.Sprint(back), "other"); !errors.Is(err, leaderboard.ErrKeyReused) {
				t.Fatalf("key %d is forgotten at %d: %v", back, i, err)
			}
		}
		if n := len(m.keys); n > 2*each {
			t.Fatalf("%d keys are kept after %d submissions, of which %d may be repeated", n, i+1, each)
		}
	}
	before, never := len(m.keys), *rules
	never.Repeats = 0
	for i := range 10 {
		if repeated, err := submit(&never, fmt.Sprint("never ", i), ""); repeated || err != nil {
			t.Fatalf("%v, %v", repeated, err)
		}
	}
	if n := len(m.keys); n != before {
		t.Errorf("%d keys are kept that are remembered for no time", n-before)
	}
}
