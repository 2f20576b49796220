package archive

import (
	"context"
	"errors"
	"fmt"

	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

// mostPages bounds the pages of lines of one board before the next board has its turn.
const mostPages = 20

// lines takes every submission by itself. all says that none was left.
func (a *Archiver) lines(ctx context.Context, r *leaderboard.Rules, p *progress) (all bool, err error) {
	boards, err := a.records.Boards(ctx, r)
	if err != nil {
		return false, fmt.Errorf("ask for boards: %w", err)
	}
	return each(boards, func(board string) (bool, error) {
		for range mostPages {
			more, err := a.linesOf(ctx, r, board, p)
			if errors.Is(err, leaderboard.ErrWentBack) {
				if more, err = a.mend(ctx, r, board, p); !more && err == nil {
					return false, nil // another instance mends the board
				}
			}
			if errors.Is(err, leaderboard.ErrLoading) {
				return false, nil
			}
			if err != nil {
				return false, fmt.Errorf("submissions of board %q: %w", board, err)
			}
			if !more {
				return true, nil
			}
		}
		return false, nil
	})
}

// linesOf takes one page, from the first line that the records have. A line that was taken before has its row already.
func (a *Archiver) linesOf(ctx context.Context, r *leaderboard.Rules, board string, p *progress) (more bool, err error) {
	page, err := a.records.Lines(ctx, r, board, "", pageSize)
	if err != nil || len(page) == 0 {
		return false, wrap("read submissions", err)
	}
	var added, mark int64
	busy := false
	err = a.within(ctx, statementTimeout, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		if busy, err = another(ctx, tx, "submissions", r.Route, board); busy || err != nil {
			return false, err
		}
		before, err := markOf(ctx, tx, r.Route, board)
		if err != nil {
			return false, err
		}
		if err := stage(ctx, tx, pgx.CopyFromSlice(len(page), func(i int) ([]any, error) {
			return []any{page[i].Submission.Player, page[i].ID, page[i].Submission.Score, page[i].At}, nil
		})); err != nil {
			return false, err
		}
		// A fixed order lets two transactions with the same rows wait for each other in one direction only.
		tag, err := tx.Exec(ctx, `INSERT INTO leaderboard_archive.submission (route, board, at, id, player, score)
			SELECT $1, $2, at, id, player, score FROM pg_temp.taken ORDER BY at, id ON CONFLICT DO NOTHING`, r.Route, board)
		if err != nil {
			return false, fmt.Errorf("add submissions: %w", err)
		}
		added = tag.RowsAffected()
		// If the records went back, they keep the lines that were read. The lines are read again after the mend.
		if mark, err = a.records.Mark(ctx, r, board, before); err != nil {
			return false, fmt.Errorf("mark records: %w", err)
		}
		return true, setMark(ctx, tx, r.Route, board, mark, nil)
	})
	if err != nil || busy {
		return false, err
	}
	p.submissions.Add(uint64(added))
	if err := a.committed(); err != nil {
		return false, err
	}
	if err := a.records.Taken(ctx, r, board, page[len(page)-1].ID, mark, mark+fence/2); err != nil {
		return false, fmt.Errorf("tell the records: %w", err)
	}
	return len(page) == pageSize, nil
}
