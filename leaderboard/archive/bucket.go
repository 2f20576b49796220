package archive

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

const (
	// mostOwed bounds the buckets in one call of Owed. pageSize bounds the members or lines of a page.
	mostOwed, pageSize = 1000, 2000
	// fresh is how long an open bucket is not taken again after it was taken. recent is how old the last taking by
	// another instance may be, while that instance holds the bucket's lock, for the bucket to count as complete.
	fresh, recent = 4 * time.Second, 30 * time.Second
)

// pass takes what the records owe. complete says that the pass left nothing to a later one.
func (a *Archiver) pass(ctx context.Context, r *leaderboard.Rules, p *progress) (complete bool, err error) {
	owed, err := a.records.Owed(ctx, r, mostOwed)
	if errors.Is(err, leaderboard.ErrLoading) {
		return false, nil // the records were lost after Empty was called; the next look loads them
	}
	if err != nil {
		err = fmt.Errorf("ask for buckets: %w", err) // of some boards; the others are taken
	}
	boards, of := []string(nil), map[string][]leaderboard.Bucket{}
	closed := int64(0)
	for _, b := range owed {
		if of[b.Board] == nil {
			boards = append(boards, b.Board)
		}
		of[b.Board] = append(of[b.Board], b)
		if b.Closed {
			closed++
		}
	}
	p.owed.Store(closed)
	all, failed := each(boards, func(board string) (bool, error) { return a.takeAll(ctx, r, of[board], p) })
	complete = err == nil && all && len(owed) < mostOwed
	if err = errors.Join(err, failed); r.Submitted && !errors.Is(err, errUnreached) {
		all, failed := a.lines(ctx, r, p)
		complete, err = complete && all, errors.Join(err, failed)
	}
	return complete, err
}

// each calls do for all boards, several at once, so that a slow board does not hold up the others. all says that do
// reported done for each board.
func each(boards []string, do func(board string) (done bool, err error)) (all bool, err error) {
	next, ends := make(chan string, len(boards)), make(chan error, len(boards))
	for _, board := range boards {
		next <- board
	}
	close(next)
	var left atomic.Bool
	for range min(len(boards), mostConnections) {
		go func() {
			for board := range next {
				done, err := do(board)
				if !done {
					left.Store(true)
				}
				ends <- err
			}
		}()
	}
	var failed []error
	for range boards {
		if err := <-ends; err != nil {
			failed = append(failed, err)
		}
	}
	return !left.Load(), errors.Join(failed...)
}

// takeAll takes the buckets of one board in their order. A bucket that cannot be taken does not stop the next ones.
func (a *Archiver) takeAll(ctx context.Context, r *leaderboard.Rules, owed []leaderboard.Bucket, p *progress) (complete bool, err error) {
	complete = true
	for _, b := range owed {
		done, failed := a.take(ctx, r, b, p)
		if errors.Is(failed, leaderboard.ErrWentBack) {
			var mended bool
			if mended, failed = a.mend(ctx, r, b.Board, p); !mended && failed == nil {
				return false, err // another instance mends the board
			}
		}
		if failed != nil {
			err = fmt.Errorf("board %q, bucket %s: %w", b.Board, b.Start.UTC().Format(time.RFC3339), failed)
			if errors.Is(failed, errUnreached) || ctx.Err() != nil {
				return false, err
			}
		}
		if done && b.Closed {
			p.owed.Add(-1)
		}
		complete = complete && done
	}
	return complete, err
}

// row is the archive's row of a bucket.
type row struct {
	closed   bool
	members  int
	archived bool // at least once
	since    time.Duration
}

// take takes one bucket (B1 to B7 in the package's documentation). done says that the archive has the whole bucket.
func (a *Archiver) take(ctx context.Context, r *leaderboard.Rules, b leaderboard.Bucket, p *progress) (done bool, err error) {
	known, err := a.known(ctx, b)
	if err != nil {
		return false, err
	}
	if known.closed { // the records have not heard of it, or hold other members
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

// another reports whether another instance does some work. The lock only saves work: two instances may do the same.
func another(ctx context.Context, tx pgx.Tx, what ...string) (bool, error) {
	var mine bool
	err := tx.QueryRow(ctx, `SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(pg_catalog.array_to_string($1::text[], E'\n'), 0))`,
		append([]string{schema}, what...)).Scan(&mine)
	return !mine, wrap("look for another archiver", err)
}

// copyBucket is B1 to B6, without the commit.
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
	held, err := a.records.Mark(ctx, r, b.Board, mark)
	if err != nil {
		return 0, fmt.Errorf("mark records: %w", err)
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

// markOf returns the greatest mark that was committed for a board.
func markOf(ctx context.Context, tx pgx.Tx, route, board string) (mark int64, err error) {
	err = tx.QueryRow(ctx, `SELECT mark FROM leaderboard_archive.board WHERE route = $1 AND board = $2`, route, board).Scan(&mark)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return mark, wrap("read mark of board", err)
}

// setMark records a mark. It comes last in a transaction, since other transactions of the board wait for its row. A
// mark from before the board was mended is refused.
func setMark(ctx context.Context, tx pgx.Tx, route, board string, mark int64, newest *time.Time) error {
	tag, err := tx.Exec(ctx, `INSERT INTO leaderboard_archive.board AS b (route, board, mark, newest) VALUES ($1, $2, $3, $4)
		ON CONFLICT (route, board) DO UPDATE SET mark = greatest(b.mark, excluded.mark), newest = greatest(b.newest, excluded.newest)
		WHERE b.mark < excluded.mark + $5`, route, board, mark, newest, fence/2)
	if err == nil && tag.RowsAffected() == 0 {
		return leaderboard.ErrWentBack
	}
	return wrap("note mark of board", err)
}

// stage copies members into a temporary table, which the end of the transaction drops.
func stage(ctx context.Context, tx pgx.Tx, source pgx.CopyFromSource) error {
	if _, err := tx.Exec(ctx, `CREATE TEMPORARY TABLE taken (player text NOT NULL, id text NOT NULL, score double precision NOT NULL, at timestamptz NOT NULL) ON COMMIT DROP`); err != nil {
		return fmt.Errorf("make table to copy to: %w", err)
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "taken"}, []string{"player", "id", "score", "at"}, source)
	return wrap("copy from records", err)
}

// members are the rows of a bucket for COPY, read page by page.
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

// better has SQL for the order of rows, and for the condition on which a new row replaces the old row of a player.
var better = map[leaderboard.Aggregate]struct{ order, takes string }{
	leaderboard.Best:   {"score DESC, at", "(excluded.score, s.at) > (s.score, excluded.at)"},
	leaderboard.Lowest: {"score, at", "(excluded.score, excluded.at) < (s.score, s.at)"},
	leaderboard.Sum:    {"at DESC, score DESC", "excluded.at >= s.at AND (excluded.score, excluded.at) <> (s.score, s.at)"},
	leaderboard.Last:   {"at DESC, score DESC", "excluded.at >= s.at AND (excluded.score, excluded.at) <> (s.score, s.at)"},
	leaderboard.Every:  {"score DESC, at", "false"},
}

// mergeSQL merges the copied members. An open bucket may have shown a member on two pages, if the member's rank changed
// between them.
func mergeSQL(r *leaderboard.Rules) string {
	b := better[r.Aggregate]
	return `INSERT INTO leaderboard_archive.score AS s (route, board, bucket, player, id, score, at)
		SELECT DISTINCT ON (player, id) $1::text, $2::text, $3::timestamptz, player, id, score, at FROM pg_temp.taken ORDER BY player, id, ` + b.order + `
		ON CONFLICT (route, board, bucket, player, id) DO UPDATE SET score = excluded.score, at = excluded.at WHERE ` + b.takes
}
