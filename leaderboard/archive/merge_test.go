package archive

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

// What is merged never takes a better score for a worse one, nor a later for an earlier, in whichever order two archivers commit; and a member
// that an open bucket has shown on two pages is one.
func TestMerge(t *testing.T) {
	d := newDatabase(t)
	start := noon()
	member := func(score float64, second int, id string) leaderboard.Member {
		return leaderboard.Member{Player: "alice", Score: score, At: start.Add(time.Duration(second) * time.Second), ID: id}
	}
	for _, c := range []struct {
		aggregate string
		is, comes []leaderboard.Member
		want      string // score and second, by ID
	}{
		{"best", nil, []leaderboard.Member{member(5, 1, "")}, "5@1 "},
		{"best", []leaderboard.Member{member(5, 1, "")}, []leaderboard.Member{member(4, 2, "")}, "5@1 "},
		{"best", []leaderboard.Member{member(5, 1, "")}, []leaderboard.Member{member(6, 2, "")}, "6@2 "},
		{"best", []leaderboard.Member{member(5, 2, "")}, []leaderboard.Member{member(5, 1, "")}, "5@1 "}, // who reached it first
		{"best", []leaderboard.Member{member(5, 1, "")}, []leaderboard.Member{member(5, 2, "")}, "5@1 "},
		{"best", nil, []leaderboard.Member{member(5, 2, ""), member(6, 3, "")}, "6@3 "}, // on two pages
		{"lowest", []leaderboard.Member{member(5, 1, "")}, []leaderboard.Member{member(4, 2, "")}, "4@2 "},
		{"lowest", []leaderboard.Member{member(5, 1, "")}, []leaderboard.Member{member(6, 2, "")}, "5@1 "},
		{"lowest", []leaderboard.Member{member(5, 2, "")}, []leaderboard.Member{member(5, 1, "")}, "5@1 "},
		{"lowest", nil, []leaderboard.Member{member(6, 3, ""), member(5, 2, "")}, "5@2 "},
		{"sum", []leaderboard.Member{member(5, 1, "")}, []leaderboard.Member{member(3, 2, "")}, "3@2 "}, // with a negative score
		{"sum", []leaderboard.Member{member(5, 2, "")}, []leaderboard.Member{member(9, 1, "")}, "5@2 "},
		{"sum", nil, []leaderboard.Member{member(5, 2, ""), member(3, 3, "")}, "3@3 "},
		{"last", []leaderboard.Member{member(5, 1, "")}, []leaderboard.Member{member(3, 2, "")}, "3@2 "},
		{"last", []leaderboard.Member{member(5, 2, "")}, []leaderboard.Member{member(9, 1, "")}, "5@2 "},
		{"submissions", []leaderboard.Member{member(5, 1, "a")}, []leaderboard.Member{member(5, 1, "a"), member(5, 1, "b")}, "5@1 a5@1 b"},
	} {
		r := rules(aggregates[c.aggregate])
		got := ""
		a := d.archiver(nil)
		for _, comes := range [][]leaderboard.Member{c.is, c.comes} {
			err := a.within(t.Context(), time.Minute, func(ctx context.Context, tx pgx.Tx) (bool, error) {
				if err := stage(ctx, tx, &members{page: comes, at: -1, next: func(int) ([]leaderboard.Member, error) { return nil, nil }}); err != nil {
					return false, err
				}
				_, err := tx.Exec(ctx, mergeSQL(r), "scores", "chess", start)
				return true, err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		rows, _ := d.Query(t.Context(), "DELETE FROM leaderboard_archive.score RETURNING id, score, at")
		var m leaderboard.Member
		if _, err := pgx.ForEachRow(rows, []any{&m.ID, &m.Score, &m.At}, func() error {
			got += fmt.Sprintf("%g@%g %s", m.Score, m.At.Sub(start).Seconds(), m.ID)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%s: %v, then %v: got %q, want %q", c.aggregate, c.is, c.comes, got, c.want)
		}
	}
}
