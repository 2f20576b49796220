// Package model is a board that keeps every submission, and computes every ranking from scratch. The model is slow, and
// nothing in it can be wrong except the rules. Tests compare the records with it.
package model

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"cacheproxy/leaderboard"
)

// Ranking returns the places of a board at a moment, from all submissions to the board. If the rules keep only the
// first K places, the others are cut. lines are ordered by their times, no two of which are equal. Lines after the
// moment do not count.
func Ranking(r *leaderboard.Rules, lines []leaderboard.Line, now time.Time) []leaderboard.Entry {
	players, places := map[string]int{}, []leaderboard.Entry(nil)
	for _, l := range lines {
		if l.At.After(now) || !shows(r.Window, l.At, now) {
			continue
		}
		new := leaderboard.Entry{Player: l.Submission.Player, Score: l.Submission.Score, At: l.At}
		i, known := players[new.Player]
		if !known || r.Aggregate == leaderboard.Every {
			players[new.Player] = len(places)
			places = append(places, new)
			continue
		}
		switch old := places[i]; r.Aggregate {
		case leaderboard.Best:
			if new.Score > old.Score {
				places[i] = new
			}
		case leaderboard.Lowest:
			if new.Score < old.Score {
				places[i] = new
			}
		case leaderboard.Sum:
			new.Score += old.Score
			places[i] = new
		case leaderboard.Last:
			places[i] = new
		}
	}
	slices.SortFunc(places, func(a, b leaderboard.Entry) int {
		score := cmp.Compare(b.Score, a.Score)
		if r.Aggregate == leaderboard.Lowest {
			score = -score
		}
		name := 0
		if r.Ties == leaderboard.ByName {
			name = strings.Compare(a.Player, b.Player)
		}
		return cmp.Or(score, name, a.At.Compare(b.At))
	})
	if r.Top > 0 && len(places) > r.Top {
		places = places[:r.Top]
	}
	for i := range places {
		places[i].Rank = int64(i + 1)
	}
	return places
}

// shows reports whether a submission at one time is within the window at another. All submissions of a rolling bucket
// leave the window together, with the latest moment of the bucket.
func shows(w leaderboard.Window, at, now time.Time) bool {
	switch w.Span {
	case leaderboard.Rolling:
		bucket := w.Bucket.Microseconds()
		end := (at.UnixMicro()/bucket + 1) * bucket
		return end+w.Length.Microseconds() > now.UnixMicro()
	case leaderboard.Day, leaderboard.Week:
		start, _ := w.Period(now)
		return !at.Before(start)
	}
	return true
}
