package memory

import (
	"errors"
	"testing"
	"time"

	"cacheproxy/leaderboard"
)

// A board to whose window nothing belongs any more gives its place to another, and no board before that.
func TestGivesUpEmptyBoards(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := New(func() time.Time { return now })
	rules := &leaderboard.Rules{Route: "scores", Aggregate: leaderboard.Best, Window: leaderboard.Window{Span: leaderboard.Rolling, Length: time.Minute, Bucket: time.Second}, MaxBoards: 1}
	submit := func(board string) error {
		_, _, err := m.Submit(t.Context(), rules, leaderboard.Request{Board: board, Submissions: []leaderboard.Submission{{Player: "ada", Score: 1}}})
		return err
	}
	if err := submit("a"); err != nil {
		t.Fatal(err)
	}
	if err := submit("b"); !errors.Is(err, leaderboard.ErrTooManyBoards) {
		t.Errorf("a second board: %v", err)
	}
	now = now.Add(2 * time.Minute)
	if err := submit("b"); err != nil {
		t.Errorf("after the window of the first: %v", err)
	}
	if boards, err := m.Boards(t.Context(), rules); err != nil || len(boards) != 1 || boards[0] != "b" {
		t.Errorf("%v, %v", boards, err)
	}
}
