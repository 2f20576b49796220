package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"

	"github.com/jackc/pgx/v5"
)

// While nobody consumes, triggers stop writing rows after some time. Instead they make the tag of the table owed, by a
// sequence beside the mapping's row in cacheproxy.marker (see package postgres, F2 and C3). The tag is owed for every
// change without a row, and may be settled only when all of these changes are visible.
//
// The race: a writer leaves its row out, and has not committed. The consumer purges, and a fetch reads the data from
// before the commit. The consumer settles, and the writer commits. The change would have left no trace. So the consumer
// locks the marker FOR UPDATE before it purges. A writer that has left a row out holds FOR KEY SHARE on the marker
// until its transaction ends, and the consumer gets no lock meanwhile. A writer that came before the consumer's lock
// has committed, and the purge covers its change. A writer that comes after the lock gets no lock, and writes its row.
//
// This is the only transaction that is open during a purge. No writer waits for the transaction, but rows pile up until
// it ends. So the transaction is bounded by a few seconds, on this side and, for a process that is frozen, by the
// server. It begins only after a purge outside of the transaction has held. If writers follow each other so closely
// that the marker is never free, the table is purged again and again, every owedPause.
const (
	owedPause   = time.Second
	owedTimeout = 3 * time.Second
)

// settle purges the tables whose tags are owed, and settles the tags whose markers no writer holds.
func (f *Feed) settle(ctx context.Context, conn *pgx.Conn, owed []string) error {
	var all []policy.Member
	for _, id := range owed {
		all = append(all, tableTag(id))
	}
	if err := f.untilHeld(ctx, f.unknown(all)); err != nil {
		return err
	}
	for _, id := range owed {
		err := f.settleOne(ctx, conn, id)
		switch {
		case err == nil:
			f.sight.owed.Add(-1)
		case ctx.Err() != nil || !errors.Is(err, errBusy):
			return err
		}
	}
	return nil
}

// errBusy says that a marker cannot be locked, or that another consumer has settled the tag.
var errBusy = errors.New("the marker is held by a writer")

// settleOne settles the tag of one mapping's table, with a purge between the lock and the end of the transaction.
func (f *Feed) settleOne(ctx context.Context, conn *pgx.Conn, id string) error {
	ctx, cancel := context.WithTimeout(ctx, owedTimeout)
	defer cancel()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		limit := fmt.Sprintf("set local idle_in_transaction_session_timeout = %d", owedTimeout.Milliseconds())
		if _, err := tx.Exec(ctx, limit); err != nil {
			return fmt.Errorf("bound the transaction: %w", err)
		}
		var sequence string
		err := tx.QueryRow(ctx, "select owed::text from cacheproxy.marker where mapping = $1::text for update skip locked", id).Scan(&sequence)
		if errors.Is(err, pgx.ErrNoRows) {
			return errBusy
		}
		if err != nil {
			return fmt.Errorf("lock the marker of %s: %w", shortened(id), err)
		}
		var still bool
		if err := tx.QueryRow(ctx, "select coalesce(pg_sequence_last_value($1::text::regclass), 0) = 1", sequence).Scan(&still); err != nil {
			return fmt.Errorf("read what is owed for %s: %w", shortened(id), err)
		}
		if !still {
			return errBusy
		}
		if f.options.between != nil {
			f.options.between()
		}
		if err := f.purge(ctx, f.unknown([]policy.Member{tableTag(id)})); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "select setval($1::text::regclass, 0)", sequence); err != nil {
			return fmt.Errorf("settle what is owed for %s: %w", shortened(id), err)
		}
		return nil
	})
}

// unknown is the order for tables whose changed rows are unknown. The origin confirms the copies before use, so that
// unchanged copies need not be made again.
func (f *Feed) unknown(tags []policy.Member) invalidation.Order {
	return invalidation.Order{Members: tags, Confirm: true, Settle: f.config.Load().Settle}
}

// tableTag returns the tag of the table in an id, or everything if id is empty.
func tableTag(id string) policy.Member {
	if id == "" {
		return policy.All
	}
	return postgres.TableTag(id)
}
