package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"

	"github.com/jackc/pgx/v5"
)

// Mapping says what rows of the outbox name.
type Mapping struct {
	// Members are the names of one tuple of values, of which nil is NULL. An error stands for: everything that the mapping can name.
	Members func(values []*string) ([]policy.Member, error)
	Whole   []policy.Member // everything that the mapping can name; at least one
	Settle  time.Duration   // invalidation.Order.Settle
}

// manyNames is how many names of one mapping a purge lists. Beyond it the mapping's whole is purged: the ledger tells a bounded number of
// names apart, and a bulk change must not push out the marks of all others.
const manyNames = 4 * invalidation.MaxRecordIDs

// order collects what a page of rows names, so that it becomes few entries of the log.
type order struct {
	feed  *Feed
	names map[string]map[policy.Member]struct{} // of each mapping
	whole map[string]bool                       // mappings that are purged as a whole
}

func (f *Feed) newOrder() *order {
	return &order{feed: f, names: map[string]map[policy.Member]struct{}{}, whole: map[string]bool{}}
}

// add takes in what a row names. What cannot be understood names everything that its mapping does.
func (o *order) add(r row) {
	id := ""
	if r.mapping != nil {
		id = *r.mapping
	}
	m, known := o.feed.mapping(id)
	names := o.names[id]
	if names == nil {
		names = map[policy.Member]struct{}{}
		o.names[id] = names
	}
	switch {
	case !known:
		o.feed.count(UnknownMapping)
		o.feed.tell(UnknownMapping, "a change bears the id of a mapping that this configuration does not have; what its table names is purged", "mapping", shortened(id))
		o.whole[id] = true
	case r.long, r.values == nil:
		o.whole[id] = true
	case o.whole[id]:
	case r.width == nil || *r.width <= 0 || len(r.values)%int(*r.width) != 0:
		o.malformed(id, fmt.Errorf("%d values are no tuples of the width that it states", len(r.values)))
	default:
		for tuple := range slices.Chunk(r.values, int(*r.width)) {
			members, err := m.Members(tuple)
			if err != nil {
				o.malformed(id, err)
				return
			}
			for _, member := range members {
				names[member] = struct{}{}
			}
			if len(names) > manyNames {
				o.whole[id] = true
				return
			}
		}
	}
}

func (o *order) malformed(id string, err error) {
	o.whole[id] = true
	o.feed.count(Malformed)
	o.feed.tell(Malformed, "a row of the outbox does not fit its mapping; everything that the mapping names is purged", "mapping", shortened(id), "error", err)
}

// shortened keeps what strangers may have written into a row from filling the log.
func shortened(s string) string {
	const enough = 200
	if len(s) > enough {
		return s[:enough] + "…"
	}
	return s
}

// members are what is named, by how long answers may still be those from before the change.
func (o *order) members() map[time.Duration][]policy.Member {
	all := map[time.Duration]map[policy.Member]struct{}{}
	for id, names := range o.names {
		m, _ := o.feed.mapping(id)
		of := all[m.Settle]
		if of == nil {
			of = map[policy.Member]struct{}{}
			all[m.Settle] = of
		}
		if !o.whole[id] {
			maps.Copy(of, names)
			continue
		}
		for _, member := range m.Whole {
			of[member] = struct{}{}
		}
	}
	listed := map[time.Duration][]policy.Member{}
	for settle, of := range all {
		if len(of) > 0 {
			listed[settle] = slices.Sorted(maps.Keys(of))
		}
	}
	return listed
}

// purge makes what is named unusable, and returns once that holds on every instance.
func (o *order) purge(ctx context.Context) error {
	for settle, members := range o.members() {
		receipt, err := o.feed.log.Invalidate(ctx, invalidation.Order{Members: members, Settle: settle})
		switch {
		case err != nil:
			return fmt.Errorf("purge what has changed: %w", err)
		case !receipt.Held:
			return fmt.Errorf("purge what has changed: %w", invalidation.ErrNotConfirmed)
		}
		o.feed.options.Purged(receipt.Took)
	}
	return nil
}

// mapping is that of an id. What no configuration of this instance knows may be that of another: what its table names is purged.
func (f *Feed) mapping(id string) (m Mapping, known bool) {
	c := f.config.Load()
	if m, known = c.Mappings[id]; known {
		return m, true
	}
	m = Mapping{Whole: c.Unknown(id), Settle: c.LongestSettle}
	if len(m.Whole) == 0 {
		m.Whole = []policy.Member{policy.All}
	}
	return m, false
}

// consume purges what rows name until it holds, and then deletes them.
func (f *Feed) consume(ctx context.Context, conn *pgx.Conn, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	o := f.newOrder()
	for _, r := range rows {
		o.add(r)
	}
	if err := f.untilHeld(ctx, o.purge); err != nil {
		return err
	}
	ids := make([]int64, len(rows))
	for i, r := range rows {
		ids[i] = r.id
		f.options.Held(r.age + time.Since(r.read))
	}
	if f.options.beforeDelete != nil {
		f.options.beforeDelete()
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	done, err := conn.Exec(ctx, "delete from cacheproxy.outbox where id = any($1::bigint[])", ids)
	if err != nil {
		return fmt.Errorf("delete what was consumed: %w", err)
	}
	f.sight.rows.Add(uint64(done.RowsAffected()))
	return nil
}

// untilHeld purges again and again, since nothing else may be done with the rows. Meanwhile the feed falls behind, and is blind in the end.
func (f *Feed) untilHeld(ctx context.Context, purge func(context.Context) error) error {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := purge(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		f.count(Unconfirmed)
		f.tell(Unconfirmed, "what has changed in PostgreSQL is not purged everywhere yet; it is tried again", "error", err)
		if !sleep(ctx, jittered(pause)) {
			return errors.Join(err, ctx.Err())
		}
	}
}
