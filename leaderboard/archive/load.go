package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

// clockMargin bounds how far the clocks of the database and of the records may differ. The load reads that much more
// than the window.
const clockMargin = time.Minute

// windowStart is a time before which no bucket in the window began. For an all-time board, all buckets are in the
// window.
func windowStart(w leaderboard.Window, now time.Time) time.Time {
	now = now.Add(-clockMargin)
	switch w.Span {
	case leaderboard.AllTime:
		return time.Unix(0, 0)
	case leaderboard.Rolling:
		return now.Add(-w.Length - w.Bucket)
	}
	start, _ := w.Period(now)
	return start
}

// fence is the step by which a load raises the mark of a board in the archive. If a mark is below the archive's mark by
// more than half of fence, the mark is from records that are gone: data that were read with the mark were not loaded,
// and the records must not forget them. A smaller difference comes from marks that were returned at about the same
// time, and there are far fewer of these.
const fence = 1 << 20

// load loads the window into empty records, and has the boards shown. loaded is false if another instance does the
// load.
func (a *Archiver) load(ctx context.Context, r *leaderboard.Rules, p *progress) (loaded bool, err error) {
	began := time.Now()
	members, busy, err := a.readBack(ctx, r, "")
	if err != nil || busy {
		return false, err
	}
	if err := a.records.Loaded(ctx, r, ""); err != nil {
		return false, fmt.Errorf("have records shown: %w", err)
	}
	p.loads.Add(1)
	a.log.Info("the records of boards were empty, and are read back from the archive", "route", r.Route, "members", members, "took", time.Since(began).String())
	return true, nil
}

// mend merges into the records of a board what they lack since they went back. mended is false if another instance
// mends the board. A board with nothing in the window was given up and made again: there is nothing to merge.
func (a *Archiver) mend(ctx context.Context, r *leaderboard.Rules, board string, p *progress) (mended bool, err error) {
	members, busy, err := a.readBack(ctx, r, board)
	if err != nil || busy {
		return false, err
	}
	if members == 0 {
		return true, nil
	}
	p.mended.Add(1)
	a.log.Warn("the records of a board had gone back to an older state, as after a restore or a failover; what the archive has is merged into them",
		"route", r.Route, "board", board, "members", members)
	return true, nil
}

// check finds boards whose records went back, and that get no submissions, so that pass would not notice.
func (a *Archiver) check(ctx context.Context, r *leaderboard.Rules, p *progress) error {
	var boards []marked
	err := a.within(ctx, statementTimeout, func(ctx context.Context, tx pgx.Tx) (commit bool, err error) {
		boards, err = markedBy(ctx, tx, `SELECT board, mark FROM leaderboard_archive.board WHERE route = $1 AND newest > $2 ORDER BY board`, r.Route, windowStart(r.Window, time.Now()))
		return false, err
	})
	if err != nil {
		return err
	}
	for _, b := range boards {
		_, err := a.records.Mark(ctx, r, b.name, b.mark)
		if errors.Is(err, leaderboard.ErrWentBack) {
			_, err = a.mend(ctx, r, b.name, p)
		}
		if err != nil {
			return fmt.Errorf("check board %q: %w", b.name, err)
		}
	}
	return nil
}

type marked struct {
	name string
	mark int64
}

// markedBy returns the boards, with their marks, that a statement returns.
func markedBy(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]marked, error) {
	rows, _ := tx.Query(ctx, sql, args...) // CollectRows returns the error too
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m marked, err error) { return m, row.Scan(&m.name, &m.mark) })
	return all, wrap("read boards", err)
}

// readBack merges the window in the archive into the records, of one board, or of all boards if board is empty. Then it
// sets the marks of the records. busy says that another instance does the same.
//
// The race: another instance has read the records as they were, and has not committed yet. readBack raises the marks in
// the archive first, which locks their rows. A transaction that commits before is among the rows that readBack reads. A
// transaction that comes after waits for the row, and is refused by setMark. The marks in the records are set last: if
// anything fails before, the records are still found to have gone back.
func (a *Archiver) readBack(ctx context.Context, r *leaderboard.Rules, board string) (count int, busy bool, err error) {
	after := windowStart(r.Window, time.Now())
	var boards []marked
	err = a.within(ctx, loadTimeout, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		if busy, err = another(ctx, tx, "load", r.Route, board); busy || err != nil {
			return false, err
		}
		boards, err = markedBy(ctx, tx, `UPDATE leaderboard_archive.board SET mark = mark + $4
			WHERE route = $1::text AND (board = $2::text OR $2::text = '' AND (newest > $3 OR newest IS NULL)) RETURNING board, mark`, r.Route, board, after, fence)
		if err != nil {
			return false, err
		}
		queries := []string{loadSQL(r)}
		if r.Window.Span == leaderboard.AllTime {
			queries = append(queries, totalSQL(r))
		}
		for _, sql := range queries {
			rows, _ := tx.Query(ctx, sql, r.Route, board, after)
			read, err := a.merge(ctx, r, rows)
			count += read
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil || busy {
		return count, busy, err
	}
	if board != "" && count > 0 { // the records may have gone back to before the board was made
		if err := a.records.Loaded(ctx, r, board); err != nil {
			return count, false, fmt.Errorf("have records shown: %w", err)
		}
	}
	for _, b := range boards {
		if err := a.records.Mended(ctx, r, b.name, b.mark); err != nil {
			return count, false, fmt.Errorf("mark records: %w", err)
		}
	}
	return count, false, nil
}

// merge gives rows to the records, one page of one bucket at a time.
func (a *Archiver) merge(ctx context.Context, r *leaderboard.Rules, rows pgx.Rows) (count int, err error) {
	defer rows.Close()
	var at leaderboard.Bucket
	var page []leaderboard.Member
	give := func() error {
		if len(page) == 0 {
			return nil
		}
		count += len(page)
		err := a.records.Load(ctx, r, at, page)
		page = page[:0]
		if errors.Is(err, leaderboard.ErrOtherRules) {
			return nil // the records refuse a board that has other rules; the other boards are loaded
		}
		return wrap("give to records", err)
	}
	for rows.Next() {
		b, m := leaderboard.Bucket{Route: r.Route}, leaderboard.Member{}
		if err := rows.Scan(&b.Board, &b.Start, &b.End, &b.Closed, &m.Player, &m.ID, &m.Score, &m.At); err != nil {
			return count, fmt.Errorf("read archive: %w", err)
		}
		if b.Board != at.Board || !b.Start.Equal(at.Start) || b.Closed != at.Closed || len(page) == pageSize {
			if err := give(); err != nil {
				return count, err
			}
			at = b
		}
		page = append(page, m)
	}
	if err := rows.Err(); err != nil {
		return count, fmt.Errorf("read archive: %w", err)
	}
	return count, give()
}

// loadSQL reads buckets: those in the window, and for an all-time board those that are not closed. $1 is the route, $2
// the board or empty, $3 the result of windowStart. For a bucket that may be cut to its first K members, the statement
// reads only these.
func loadSQL(r *leaderboard.Rules) string {
	limit := ""
	if r.Top > 0 && r.Aggregate != leaderboard.Sum && r.Aggregate != leaderboard.Last {
		order := "score DESC"
		if r.Aggregate == leaderboard.Lowest {
			order = "score"
		}
		if r.Ties == leaderboard.ByName {
			order += `, player COLLATE "C"`
		} else {
			order += `, at, player COLLATE "C"`
		}
		limit = fmt.Sprintf("ORDER BY %s LIMIT %d", order, r.Top)
	}
	which := ""
	if r.Window.Span == leaderboard.AllTime {
		which = "AND NOT b.closed"
	}
	return `SELECT b.board, b.starts, b.ends, b.closed, s.player, s.id, s.score, s.at FROM leaderboard_archive.board o, LATERAL (
			SELECT * FROM leaderboard_archive.bucket b WHERE b.route = o.route AND b.board = o.board AND b.starts >= $3::timestamptz ` + which + `) b, LATERAL (
			SELECT player, id, score, at FROM leaderboard_archive.score WHERE route = b.route AND board = b.board AND bucket = b.starts ` + limit + `) s
		WHERE o.route = $1::text AND ($2::text = '' OR o.board = $2::text) ORDER BY b.board, b.starts`
}

// totalSQL reads the aggregate of the closed buckets of an all-time board, as one bucket from the beginning of time.
func totalSQL(r *leaderboard.Rules) string {
	from := `FROM leaderboard_archive.score JOIN leaderboard_archive.bucket b USING (route, board)
		WHERE b.closed AND bucket = b.starts AND route = $1::text AND ($2::text = '' OR board = $2::text) AND b.starts >= $3::timestamptz`
	const borders = `board, to_timestamp(0), max(b.ends) OVER (PARTITION BY board), true`
	switch r.Aggregate {
	case leaderboard.Sum:
		return `SELECT board, to_timestamp(0), max(max(b.ends)) OVER (PARTITION BY board), true, player, '', sum(score), max(at) ` + from + ` GROUP BY board, player ORDER BY board`
	case leaderboard.Every:
		return `SELECT ` + borders + `, player, id, score, at ` + from + ` ORDER BY board`
	}
	return `SELECT DISTINCT ON (board, player) ` + borders + `, player, '', score, at ` + from + ` ORDER BY board, player, ` + better[r.Aggregate].order
}
