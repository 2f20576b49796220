package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"

	"github.com/jackc/pgx/v5"
)

// manyNames bounds the names of one mapping in a purge. With more, the whole of the mapping is purged: the ledger tells
// a bounded number of names apart, and a bulk change must not push out the marks of all other names.
const manyNames = 4 * invalidation.MaxRecordIDs

// order collects the names in a page of rows, so that the log gets few entries.
type order struct {
	feed  *Feed
	names map[string]map[policy.Member]struct{} // by mapping
	whole map[string]bool                       // mappings that are purged as a whole
}

func (f *Feed) newOrder() *order {
	return &order{feed: f, names: map[string]map[policy.Member]struct{}{}, whole: map[string]bool{}}
}

// add adds the names in a row. A row that cannot be understood stands for the whole of its mapping.
func (o *order) add(r row) {
	id, width := "", -1
	if r.mapping != nil {
		id = *r.mapping
	}
	if r.width != nil {
		width = int(*r.width)
	}
	members, whole := postgres.Resolve(o.feed.config.Load().Mappings, id, width, r.values)
	switch {
	case !whole:
	case o.feed.mapping(id) != nil:
		if r.values != nil {
			o.feed.count(malformed)
			o.feed.tell(malformed, "a row of the outbox does not fit its mapping; everything that the mapping names is purged", "mapping", id, "width", width, "values", len(r.values))
		}
	case strings.Contains(id, "#"): // an id without a digest is an order by hand
		o.feed.count(unknownMapping)
		o.feed.tell(unknownMapping, "a change bears the id of a mapping that this configuration does not have; its table's copies are purged", "mapping", shortened(id))
	}
	o.name(id, whole, members...)
}

// name adds the names in a change of a mapping.
func (o *order) name(id string, whole bool, members ...policy.Member) {
	if o.names[id] == nil {
		o.names[id] = map[policy.Member]struct{}{}
	}
	for _, member := range members {
		o.names[id][member] = struct{}{}
	}
	o.whole[id] = o.whole[id] || whole || len(o.names[id]) > manyNames
	if o.whole[id] {
		clear(o.names[id])
	}
}

// join adds the names of another order.
func (o *order) join(other *order) {
	for id, names := range other.names {
		o.name(id, other.whole[id], slices.Collect(maps.Keys(names))...)
	}
}

// shortened shortens a text that strangers may have written into a row, so that it cannot fill the log.
func shortened(s string) string {
	const enough = 200
	if len(s) > enough {
		return s[:enough] + "…"
	}
	return s
}

// orders returns the collected names, grouped by their settle times.
func (o *order) orders() (orders []invalidation.Order) {
	all := map[time.Duration]map[policy.Member]struct{}{}
	for id, names := range o.names {
		settle := o.feed.config.Load().Settle
		if m := o.feed.mapping(id); m != nil {
			settle = m.Settle
		}
		if all[settle] == nil {
			all[settle] = map[policy.Member]struct{}{}
		}
		if o.whole[id] {
			all[settle][tableTag(id)] = struct{}{}
		} else {
			maps.Copy(all[settle], names)
		}
	}
	for settle, of := range all {
		if len(of) > 0 {
			orders = append(orders, invalidation.Order{Members: slices.Sorted(maps.Keys(of)), Settle: settle})
		}
	}
	return orders
}

// purge makes unusable what orders name, and returns nil once the purges hold on every instance.
func (f *Feed) purge(ctx context.Context, orders ...invalidation.Order) error {
	for _, o := range orders {
		receipt, err := f.log.Invalidate(ctx, o)
		switch {
		case err != nil:
			return fmt.Errorf("purge what has changed: %w", err)
		case !receipt.Held:
			return fmt.Errorf("purge what has changed: %w", invalidation.ErrNotConfirmed)
		}
		f.options.Purged(receipt.Took)
	}
	return nil
}

// mapping returns the mapping of an id; nil: this configuration has none.
func (f *Feed) mapping(id string) *postgres.Mapping {
	all := f.config.Load().Mappings
	if i := slices.IndexFunc(all, func(m *postgres.Mapping) bool { return m.ID == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// deleteSQL deletes rows by the key of the table, with lookups as in a look. A ctid cannot become the ctid of another
// row within the statement: vacuum removes no row that its snapshot sees.
const deleteSQL = `delete from cacheproxy.outbox where ctid = any(array(
	select o.ctid from unnest($1::text[], $2::bigint[]) as d(x, id), lateral (
		select outbox.ctid from cacheproxy.outbox where outbox.xid = d.x::xid8 and outbox.id = d.id limit 1) o))`

// consume purges the names in rows until the purge holds, calls held, and deletes the rows.
func (f *Feed) consume(ctx context.Context, conn *pgx.Conn, rows []row, held func(context.Context) error) error {
	if len(rows) == 0 {
		return nil
	}
	o := f.newOrder()
	for _, r := range rows {
		o.add(r)
	}
	orders := o.orders()
	if err := f.untilHeld(ctx, orders...); err != nil {
		return err
	}
	if err := held(ctx); err != nil {
		return err
	}
	ids, xids := make([]int64, len(rows)), make([]string, len(rows))
	for i, r := range rows {
		ids[i], xids[i] = r.id, r.xid
		f.options.Held(r.age + time.Since(r.read))
	}
	if f.options.between != nil {
		f.options.between()
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	done, err := conn.Exec(ctx, deleteSQL, xids, ids)
	if err != nil {
		return fmt.Errorf("delete what was consumed: %w", err)
	}
	f.sight.rows.Add(uint64(done.RowsAffected()))
	return nil
}

// untilHeld purges until the purge holds, since the rows must not be deleted before. Meanwhile the feed lags, and
// eventually is blind.
func (f *Feed) untilHeld(ctx context.Context, orders ...invalidation.Order) error {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := f.purge(ctx, orders...)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		f.count(unconfirmed)
		f.tell(unconfirmed, "what has changed in PostgreSQL is not purged everywhere yet; it is tried again", "error", err)
		if !sleep(ctx, jittered(pause)) {
			return errors.Join(err, ctx.Err())
		}
	}
}
