package feed

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"cacheproxy/invalidation/postgres"

	"github.com/jackc/pgx/v5"
)

const insert = "insert into cacheproxy.outbox(mapping, width, tuples) values ('public.product#1', 1, '{1}')"

// lookFor looks once, and gives the scope of the next look.
func lookFor(t testing.TB, conn *pgx.Conn, in scope) (ids []int64, next scope) {
	t.Helper()
	p, err := look(context.Background(), conn, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.rows {
		ids = append(ids, r.id)
	}
	slices.Sort(ids)
	return ids, since(p.seen, nil)
}

// TestLookMissesNothing has transactions commit in another order than they took numbers: each row is found by the look after its
// commit, once, and no look asks for what was found before.
func TestLookMissesNothing(t *testing.T) {
	url := database(t)
	reader, other := dial(t, url), dial(t, url)
	do(t, other, insert) // the first may have any number
	first, _ := lookFor(t, reader, everything())
	do(t, other, "delete from cacheproxy.outbox")
	want := func(in scope, ids ...int64) scope {
		t.Helper()
		found, next := lookFor(t, reader, in)
		for i := range found {
			found[i] -= first[0]
		}
		if !slices.Equal(found, ids) {
			t.Fatalf("found %v, want %v", found, ids)
		}
		return next
	}
	next := want(everything())
	begun := func(sql string) pgx.Tx {
		t.Helper()
		tx, err := dial(t, url).Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		do(t, tx, sql)
		return tx
	}
	end := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	late := begun(insert) // 1
	do(t, other, insert)  // 2
	next = want(next, 2)
	next = want(next)
	refused := begun(insert)                      // 3
	later := begun("select pg_current_xact_id()") // has its number, and no row yet
	do(t, other, insert)                          // 4
	next = want(next, 4)
	end(refused.Rollback(context.Background()))
	nested, err := later.Begin(context.Background()) // a subtransaction has a number of its own
	end(err)
	do(t, nested, insert) // 5
	end(nested.Commit(context.Background()))
	next = want(next)
	end(late.Commit(context.Background()))
	next = want(next, 1)
	end(later.Commit(context.Background()))
	next = want(next, 5)
	want(next)
	want(everything(), 1, 2, 4, 5)
}

// TestLookPages reads more than a page holds, of one transaction that was running and of others.
func TestLookPages(t *testing.T) {
	url := database(t)
	reader := dial(t, url)
	_, in := lookFor(t, reader, everything())
	tx, err := dial(t, url).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	const each = 2*pageRows + 7
	many := fmt.Sprintf("insert into cacheproxy.outbox(mapping, width, tuples) select 'm', 1, '{1}' from generate_series(1, %d)", each)
	do(t, tx, many)
	do(t, reader, insert) // so that one has ended which began later: else the other counts as not begun
	_, in = lookFor(t, reader, in)
	if len(in.xids) != 1 {
		t.Fatalf("running: %v", in.xids)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	do(t, reader, many)
	seen := map[int64]bool{}
	for pages := 1; ; pages++ {
		p, err := look(context.Background(), reader, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.rows {
			if seen[r.id] {
				t.Fatalf("row %d was read twice", r.id)
			}
			seen[r.id] = true
		}
		if !p.full {
			break
		}
		if pages > 10 {
			t.Fatal("the pages have no end")
		}
		in.past(p.rows)
	}
	if len(seen) != 2*each {
		t.Fatalf("read %d rows, want %d", len(seen), 2*each)
	}
}

// TestRowSecurity has rows hidden from the role that consumes: that is a failure, and no empty outbox.
func TestRowSecurity(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	do(t, conn, "create role consumer login password 'consumer'")
	if _, err := (&postgres.Installation{Mappings: []*postgres.Mapping{product()}, Consumer: "consumer"}).Install(context.Background(), conn); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"outbox", "marker"} {
		do(t, conn, "alter table cacheproxy."+table+" enable row level security")
		c := consume(t, url, func(o *Options) {
			source := o.Config.Source
			o.Config.Source = func() (*pgx.ConnConfig, error) {
				config, err := source()
				config.User, config.Password = "consumer", "consumer"
				return config, err
			}
		})
		do(t, conn, "insert into product values (1, 7)")
		until(t, func() bool { return c.State().Failed[lookFailed.String()] > 0 })
		if c.State().Up {
			t.Errorf("%s: sees what is hidden", table)
		}
		do(t, conn, "alter table cacheproxy."+table+" disable row level security")
		c.purges("tag:category:7", "tag:product:1")
		c.stop()
		do(t, conn, "delete from product; delete from cacheproxy.outbox")
	}
}
