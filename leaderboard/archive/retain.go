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
	// retainEvery is the pause between two deletions of old rows. retainStep bounds the rows of one transaction.
	// retainShare bounds the time of one call: what is owed comes first.
	retainEvery, retainStep, retainShare = 10 * time.Second, 5000, time.Second
)

// retain deletes rows that are older than they have to be, in small steps. The next call deletes the rest.
func (a *Archiver) retain(ctx context.Context, r Route, p *progress) error {
	began := time.Now()
	cutoff := began.Add(-r.Retention)
	steps := []func(context.Context, pgx.Tx) (int64, error){func(ctx context.Context, tx pgx.Tx) (int64, error) {
		return submissionsStep(ctx, tx, r.Rules.Route, cutoff)
	}}
	// The buckets of an all-time board are needed for a load.
	if r.Rules.Window.Span != leaderboard.AllTime {
		old := cutoff
		if window := windowStart(r.Rules.Window, began); window.Before(old) {
			old = window
		}
		steps = append(steps, func(ctx context.Context, tx pgx.Tx) (int64, error) { return bucketStep(ctx, tx, r.Rules.Route, old) })
	}
	for _, step := range steps {
		for gone := int64(1); gone > 0 && time.Since(began) < retainShare; {
			err := a.within(ctx, statementTimeout, func(ctx context.Context, tx pgx.Tx) (bool, error) {
				busy, err := another(ctx, tx, "retention", r.Rules.Route)
				if busy || err != nil {
					gone = 0
					return false, err
				}
				gone, err = step(ctx, tx)
				return true, err
			})
			if err != nil {
				return fmt.Errorf("delete what is older than %s: %w", r.Retention, err)
			}
			p.deleted.Add(uint64(gone))
		}
	}
	return nil
}

// bucketStep deletes members of an old bucket, and the bucket with its last members.
func bucketStep(ctx context.Context, tx pgx.Tx, route string, cutoff time.Time) (int64, error) {
	var board string
	var starts time.Time
	err := tx.QueryRow(ctx, `SELECT b.board, b.starts FROM leaderboard_archive.board o, LATERAL (
			SELECT board, starts FROM leaderboard_archive.bucket WHERE route = o.route AND board = o.board AND ends < $2 ORDER BY starts LIMIT 1) b
		WHERE o.route = $1 LIMIT 1`, route, cutoff).Scan(&board, &starts)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	// The lock waits for a transaction that takes the bucket at this moment: its members would otherwise stay without a
	// bucket.
	if _, err := tx.Exec(ctx, `SELECT FROM leaderboard_archive.bucket WHERE route = $1 AND board = $2 AND starts = $3 FOR UPDATE`, route, board, starts); err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, `DELETE FROM leaderboard_archive.score WHERE ctid = ANY (ARRAY (
		SELECT ctid FROM leaderboard_archive.score WHERE route = $1 AND board = $2 AND bucket = $3 LIMIT $4))`, route, board, starts, retainStep)
	if err != nil || tag.RowsAffected() == retainStep {
		return tag.RowsAffected(), err
	}
	bucket, err := tx.Exec(ctx, `DELETE FROM leaderboard_archive.bucket WHERE route = $1 AND board = $2 AND starts = $3`, route, board, starts)
	return tag.RowsAffected() + bucket.RowsAffected(), err
}

// submissionsStep deletes old submissions.
func submissionsStep(ctx context.Context, tx pgx.Tx, route string, cutoff time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM leaderboard_archive.submission WHERE ctid = ANY (ARRAY (
		SELECT s.ctid FROM leaderboard_archive.board o, LATERAL (
			SELECT ctid FROM leaderboard_archive.submission WHERE route = o.route AND board = o.board AND at < $2 ORDER BY at LIMIT $3) s
		WHERE o.route = $1 LIMIT $3))`, route, cutoff, retainStep)
	return tag.RowsAffected(), err
}
