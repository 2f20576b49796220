package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A marker is a row of cacheproxy.marker: from when it is there, triggers write no rows for its mapping, so that the outbox does not
// grow without bound while nobody consumes. It stands for every change that a trigger has left out because of it, and may go only when all
// of these are in sight. A trigger leaves its row out only while it holds FOR KEY SHARE on the marker, until its transaction ends.
//
// The race: a writer finds the marker, leaves its row out, and is not committed; the consumer purges, and a fetch reads the data from
// before the commit; the consumer deletes the marker; the writer commits. The change would have left no trace. So the marker is
// deleted by a transaction that locks it FOR UPDATE before the purge. That lock is not given while a writer holds KEY SHARE: whoever has
// left a row out before it is committed, and the purge that follows is for its change too; whoever comes after it waits for the lock,
// finds the marker gone, and writes its row.
//
// This is the one transaction that is open during a purge, and writers wait for it. So it is bounded by a few seconds, on this side and,
// where this process is frozen, by the server; and it begins only after a purge outside of it has held. Where writers follow each other so
// closely that the marker is never free, it is not deleted, and its mapping is purged again and again, at the pace of markerPause.
const (
	markerPause   = time.Second
	markerTimeout = 3 * time.Second
)

// markers consumes the markers that a look has found.
func (f *Feed) markers(ctx context.Context, conn *pgx.Conn, ids []*string) error {
	o := f.newOrder()
	for _, id := range ids {
		o.add(row{mapping: id})
	}
	if err := f.untilHeld(ctx, o.purge); err != nil {
		return err
	}
	gone, err := f.removeMarkers(ctx, conn, slices.Collect(maps.Keys(o.names)))
	f.sight.markers.Add(-gone)
	return err
}

// errBusy says that no marker could be locked.
var errBusy = errors.New("every marker is held by a writer")

// removeMarkers deletes the markers that no writer holds, with a purge between their lock and their end.
func (f *Feed) removeMarkers(ctx context.Context, conn *pgx.Conn, all []string) (gone int64, err error) {
	bounded, cancel := context.WithTimeout(ctx, markerTimeout)
	defer cancel()
	err = pgx.BeginFunc(bounded, conn, func(tx pgx.Tx) error {
		limits := fmt.Sprintf("set local idle_in_transaction_session_timeout = %d", markerTimeout.Milliseconds())
		if _, err := tx.Exec(bounded, limits); err != nil {
			return fmt.Errorf("bound the transaction: %w", err)
		}
		locked, err := tx.Query(bounded, "select mapping::text from cacheproxy.marker where mapping::text = any($1::text[]) for update skip locked", all)
		if err != nil {
			return fmt.Errorf("lock markers: %w", err)
		}
		ids, err := pgx.CollectRows(locked, pgx.RowTo[string])
		switch {
		case err != nil:
			return fmt.Errorf("lock markers: %w", err)
		case len(ids) == 0:
			return errBusy
		}
		o := f.newOrder()
		for _, id := range ids {
			o.add(row{mapping: &id})
		}
		if f.options.beforeDelete != nil {
			f.options.beforeDelete()
		}
		if err := o.purge(bounded); err != nil {
			return err
		}
		done, err := tx.Exec(bounded, "delete from cacheproxy.marker where mapping::text = any($1::text[])", ids)
		if err != nil {
			return fmt.Errorf("delete markers: %w", err)
		}
		gone = done.RowsAffected()
		return nil
	})
	if err == nil || ctx.Err() != nil {
		return gone, err
	}
	if errors.Is(err, errBusy) {
		return 0, nil
	}
	return 0, fmt.Errorf("consume markers: %w", err)
}
