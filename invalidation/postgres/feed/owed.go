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

// Where nobody consumes, triggers write no rows after a while; the tag of the table is owed instead, by a sequence beside the mapping's
// row in cacheproxy.marker (see package postgres, F2 and C3). It is owed for every change that was left out because of it, and may be
// settled only when all of these are in sight.
//
// The race: a writer leaves its row out, and is not committed; the consumer purges, and a fetch reads the data from before the commit; the
// consumer settles; the writer commits. The change would have left no trace. So the consumer locks the marker FOR UPDATE before it
// purges, which it cannot while a writer that has left a row out holds FOR KEY SHARE, until its transaction ends: whoever came before the lock is
// committed, and the purge is for its change too; whoever comes after it gets no lock, and writes its row.
//
// This is the one transaction that is open during a purge. No writer waits for it, but rows pile up until it ends. So it is bounded by a few
// seconds, on this side and, for a process that is frozen, by the server; and it begins only after a purge outside of it has held.
// Where writers follow each other so closely that the marker is never free, its table is purged again and again, at the pace of owedPause.
const (
	owedPause   = time.Second
	owedTimeout = 3 * time.Second
)

// settle purges the tables of which the tag is owed, and settles what no writer holds.
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

// errBusy says that a marker cannot be locked, or that somebody else has settled it.
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

// unknown is the order for tables of which nobody knows which rows have changed: their copies are confirmed by the origin before they are
// used, so that it need not make again what has not changed.
func (f *Feed) unknown(tags []policy.Member) invalidation.Order {
	return invalidation.Order{Members: tags, Confirm: true, Settle: f.config.Load().Settle}
}

// tableTag is what an id names that is not known: the tag of its table; everything, where it names no table.
func tableTag(id string) policy.Member {
	if id == "" {
		return policy.All
	}
	return postgres.TableTag(id)
}
