package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

const (
	// mostOwed is how many buckets are asked for at once, and pageSize how many members or lines.
	mostOwed, pageSize = 1000, 2000
	// fresh is how long ago an open bucket was taken that is not taken again yet, and recent how long ago one may have been taken by another
	// instance that is at it, for nothing to be missing.
	fresh, recent = 4 * time.Second, 30 * time.Second
)

// errWentBack says that the records of a board are older than what the archive has of them.
var errWentBack = errors.New("records are older than the archive")

// pass takes what the records owe. It is complete where nothing was left to another time.
func (a *Archiver) pass(ctx context.Context, r *leaderboard.Rules, p *progress) (complete bool, err error) {
	owed, err := a.records.Owed(ctx, r, mostOwed)
	if errors.Is(err, leaderboard.ErrLoading) {
		return false, nil // they were lost after Empty was asked; the next look mends it
	}
	if err != nil {
		return false, fmt.Errorf("ask for buckets: %w", err)
	}
	complete = len(owed) < mostOwed
	closed := int64(0)
	for _, b := range owed {
		if b.Closed {
			closed++
		}
	}
	p.owed.Store(closed)
	var failed error
	for _, b := range owed {
		done, err := a.take(ctx, r, b, p)
		if errors.Is(err, errWentBack) {
			err = a.mend(ctx, r, b.Board, p)
		}
		if err != nil {
			p.failures.Add(1)
			failed = fmt.Errorf("board %q, bucket %s: %w", b.Board, b.Start.UTC().Format(time.RFC3339), err)
			if a.conn == nil || a.conn.IsClosed() || ctx.Err() != nil {
				return false, failed
			}
		}
		if done && b.Closed {
			p.owed.Add(-1)
		}
		complete = complete && done
	}
	if r.Submitted && failed == nil {
		all, err := a.lines(ctx, r, p)
		complete, failed = complete && all, err
	}
	return complete, failed
}

// row is what the archive says of a bucket.
type row struct {
	closed   bool
	members  int
	archived bool // ever
	since    time.Duration
}

// take takes one bucket (see the package's text, B1 to B7). Done says that nothing of it is missing in the archive.
func (a *Archiver) take(ctx context.Context, r *leaderboard.Rules, b leaderboard.Bucket, p *progress) (done bool, err error) {
	known, err := a.known(ctx, b)
	if err != nil {
		return false, err
	}
	if known.closed { // and the records have not heard of it, or hold something else
		if cut, err := a.records.Archived(ctx, r, b, known.members); err != nil || cut {
			return cut, wrap("tell the records", err)
		}
	}
	if !b.Closed && known.archived && known.since < fresh {
		return true, nil
	}
	count, busy := 0, false
	err = a.within(ctx, statementTimeout, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		if busy, err = another(ctx, tx, "bucket", b.Route, b.Board, fmt.Sprint(b.Start.UnixMicro())); busy || err != nil {
			return false, err
		}
		count, err = a.copyBucket(ctx, tx, r, b)
		return err == nil, err
	})
	if busy {
		return !b.Closed && known.archived && known.since < recent, nil
	}
	if errors.Is(err, leaderboard.ErrLoading) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p.members.Add(uint64(count))
	if b.Closed {
		p.buckets.Add(1)
	}
	if err := a.committed(); err != nil {
		return false, err
	}
	cut, err := a.records.Archived(ctx, r, b, count)
	return cut || !b.Closed, wrap("tell the records", err)
}

func (a *Archiver) known(ctx context.Context, b leaderboard.Bucket) (k row, err error) {
	err = a.within(ctx, statementTimeout, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		var seconds *float64
		err := tx.QueryRow(ctx, `SELECT closed, members, extract(epoch FROM clock_timestamp() - archived)::float8 FROM leaderboard_archive.bucket
			WHERE route = $1 AND board = $2 AND starts = $3`, b.Route, b.Board, b.Start).Scan(&k.closed, &k.members, &seconds)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		if seconds != nil {
			k.archived, k.since = true, time.Duration(*seconds*float64(time.Second))
		}
		return false, wrap("read bucket", err)
	})
	return k, err
}

// another reports whether another instance is at something. It is only asked so that no two do the same work.
func another(ctx context.Context, tx pgx.Tx, what ...string) (bool, error) {
	var mine bool
	err := tx.QueryRow(ctx, `SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(pg_catalog.array_to_string($1::text[], E'\n'), 0))`,
		append([]string{schema}, what...)).Scan(&mine)
	return !mine, wrap("look for another archiver", err)
}

// copyBucket is what happens in the transaction.
func (a *Archiver) copyBucket(ctx context.Context, tx pgx.Tx, r *leaderboard.Rules, b leaderboard.Bucket) (int, error) {
	if _, err := tx.Exec(ctx, `INSERT INTO leaderboard_archive.bucket (route, board, starts, ends, members, closed) VALUES ($1, $2, $3, $4, 0, false)
		ON CONFLICT DO NOTHING`, b.Route, b.Board, b.Start, b.End); err != nil {
		return 0, fmt.Errorf("begin bucket: %w", err)
	}
	var closed bool
	if err := tx.QueryRow(ctx, `SELECT closed FROM leaderboard_archive.bucket WHERE route = $1 AND board = $2 AND starts = $3 FOR UPDATE`,
		b.Route, b.Board, b.Start).Scan(&closed); err != nil {
		return 0, fmt.Errorf("lock bucket: %w", err)
	}
	mark, err := markOf(ctx, tx, b.Route, b.Board)
	if err != nil {
		return 0, err
	}
	source := &members{next: func(from int) ([]leaderboard.Member, error) { return a.records.Members(ctx, r, b, from, pageSize) }}
	if err := stage(ctx, tx, source); err != nil {
		return 0, err
	}
	held, err := a.records.Mark(ctx, r, b.Board, 0)
	if err != nil {
		return 0, fmt.Errorf("mark records: %w", err)
	}
	if held <= mark {
		return 0, errWentBack
	}
	if _, err := tx.Exec(ctx, mergeSQL(r), b.Route, b.Board, b.Start); err != nil {
		return 0, fmt.Errorf("merge members: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE leaderboard_archive.bucket SET closed = closed OR $4, members = $5, archived = clock_timestamp()
		WHERE route = $1 AND board = $2 AND starts = $3`, b.Route, b.Board, b.Start, b.Closed, source.count); err != nil {
		return 0, fmt.Errorf("end bucket: %w", err)
	}
	return source.count, setMark(ctx, tx, b.Route, b.Board, held, &b.End)
}

// markOf is the greatest mark that was committed with something of a board.
func markOf(ctx context.Context, tx pgx.Tx, route, board string) (mark int64, err error) {
	err = tx.QueryRow(ctx, `SELECT mark FROM leaderboard_archive.board WHERE route = $1 AND board = $2`, route, board).Scan(&mark)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return mark, wrap("read mark of board", err)
}

// setMark notes a mark last of all, since others of the board wait for its row.
func setMark(ctx context.Context, tx pgx.Tx, route, board string, mark int64, newest *time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO leaderboard_archive.board AS b (route, board, mark, newest) VALUES ($1, $2, $3, $4)
		ON CONFLICT (route, board) DO UPDATE SET mark = greatest(b.mark, excluded.mark), newest = greatest(b.newest, excluded.newest)`, route, board, mark, newest)
	return wrap("note mark of board", err)
}

// stage copies members into a table that goes with the transaction.
func stage(ctx context.Context, tx pgx.Tx, source pgx.CopyFromSource) error {
	if _, err := tx.Exec(ctx, `CREATE TEMPORARY TABLE taken (player text NOT NULL, id text NOT NULL, score double precision NOT NULL, at timestamptz NOT NULL) ON COMMIT DROP`); err != nil {
		return fmt.Errorf("make table to copy to: %w", err)
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "taken"}, []string{"player", "id", "score", "at"}, source)
	return wrap("copy from records", err)
}

// members are those of a bucket as COPY takes them, read a page at a time.
type members struct {
	next  func(from int) ([]leaderboard.Member, error)
	page  []leaderboard.Member
	at    int
	count int
	err   error
}

// Next implements pgx.CopyFromSource.
func (m *members) Next() bool {
	if m.at++; m.at < len(m.page) {
		m.count++
		return true
	}
	m.page, m.err = m.next(m.count)
	m.at = 0
	if m.err != nil || len(m.page) == 0 {
		return false
	}
	m.count++
	return true
}

// Values implements pgx.CopyFromSource.
func (m *members) Values() ([]any, error) {
	is := m.page[m.at]
	return []any{is.Player, is.ID, is.Score, is.At}, nil
}

// Err implements pgx.CopyFromSource.
func (m *members) Err() error { return m.err }

// better says in which order the rows of one player, or all rows, stand, and when one that comes takes the place of one that is there.
var better = map[leaderboard.Aggregate]struct{ order, takes string }{
	leaderboard.Best:   {"score DESC, at", "(excluded.score, s.at) > (s.score, excluded.at)"},
	leaderboard.Lowest: {"score, at", "(excluded.score, excluded.at) < (s.score, s.at)"},
	leaderboard.Sum:    {"at DESC, score DESC", "excluded.at >= s.at AND (excluded.score, excluded.at) <> (s.score, s.at)"},
	leaderboard.Last:   {"at DESC, score DESC", "excluded.at >= s.at AND (excluded.score, excluded.at) <> (s.score, s.at)"},
	leaderboard.Every:  {"score DESC, at", "false"},
}

// mergeSQL merges what was copied. A bucket that is open may have shown a member on two pages, as its rank changed between them.
func mergeSQL(r *leaderboard.Rules) string {
	b := better[r.Aggregate]
	return `INSERT INTO leaderboard_archive.score AS s (route, board, bucket, player, id, score, at)
		SELECT DISTINCT ON (player, id) $1::text, $2::text, $3::timestamptz, player, id, score, at FROM pg_temp.taken ORDER BY player, id, ` + b.order + `
		ON CONFLICT (route, board, bucket, player, id) DO UPDATE SET score = excluded.score, at = excluded.at WHERE ` + b.takes
}
