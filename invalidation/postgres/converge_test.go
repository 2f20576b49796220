package postgres

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

var convergeRounds = flag.Int("converge-rounds", 60, "how many times all writers stop, and the consumer is compared with the table")

// cache is what a consumer keeps of a table: for each row what it read last, after it was told that the row had changed.
type cache struct {
	tb     testing.TB
	conn   *pgx.Conn
	rows   map[int]int
	wholes int
}

func (c *cache) fill(ctx context.Context, where string) {
	rows, err := c.conn.Query(ctx, "SELECT id, price::int FROM product"+where)
	if err != nil {
		c.tb.Error(err)
		return
	}
	var id, price int
	if _, err := pgx.ForEachRow(rows, []any{&id, &price}, func() error { c.rows[id] = price; return nil }); err != nil {
		c.tb.Error(err)
	}
}

// poll is C1 to C3 of doc.go. It reports whether there was nothing.
func (c *cache) poll(ctx context.Context) (idle bool) {
	var last int64
	if err := c.conn.QueryRow(ctx, "SELECT last_value FROM cacheproxy.outbox_id_seq").Scan(&last); err != nil {
		c.tb.Fatal(err)
	}
	found, err := list(ctx, c.conn, "SELECT id, tuples FROM cacheproxy.outbox LIMIT 7", pgx.RowToStructByPos[struct {
		ID     int64
		Tuples []*string
	}])
	if err != nil {
		c.tb.Fatal(err)
	}
	var ids []int64
	for _, row := range found {
		if ids = append(ids, row.ID); row.Tuples == nil {
			c.fill(ctx, "")
		}
		for _, id := range row.Tuples {
			c.fill(ctx, " WHERE id = "+*id)
		}
	}
	if _, err := c.conn.Exec(ctx, "DELETE FROM cacheproxy.outbox WHERE id = ANY ($1)", ids); err != nil {
		c.tb.Error(err)
	}
	if len(found) == 7 {
		last = slices.Max(ids)
	}
	if _, err := c.conn.Exec(ctx, "SELECT setval('cacheproxy.consumed', greatest($1::bigint, (SELECT last_value FROM cacheproxy.consumed)))", last); err != nil {
		c.tb.Error(err)
	}
	var owed bool
	if err := c.conn.QueryRow(ctx, "SELECT coalesce(pg_sequence_last_value(owed), 0) = 1 FROM cacheproxy.marker").Scan(&owed); err != nil {
		c.tb.Fatal(err)
	}
	if owed {
		tx, err := c.conn.Begin(ctx)
		if err != nil {
			c.tb.Fatal(err)
		}
		var locked int
		if tx.QueryRow(ctx, "SELECT 1 FROM cacheproxy.marker FOR UPDATE SKIP LOCKED").Scan(&locked) == nil {
			c.wholes++
			c.fill(ctx, "") // each statement has a snapshot of its own
			if _, err := tx.Exec(ctx, "SELECT setval(owed, 0) FROM cacheproxy.marker"); err != nil {
				c.tb.Error(err)
			}
		}
		if err := tx.Commit(ctx); err != nil {
			c.tb.Error(err)
		}
	}
	return len(found) == 0 && !owed
}

// Writers in every isolation level and a consumer that comes and goes, with an outbox that is full at once: whenever all is consumed, what the
// consumer has is what the table has (F2).
func TestConverges(t *testing.T) {
	const rows, writers = 20, 4
	// Of a table that it has analyzed, PostgreSQL knows that it is small: it reads all of it for each statement, and serializable transactions fail
	// by that alone.
	d := newDatabase(t, product+" WITH (autovacuum_enabled = off)", fmt.Sprintf("INSERT INTO product SELECT i, 's', 0 FROM generate_series(1, %d) i", rows))
	m := mapping("product", "p:{id}")
	d.installAs(&Installation{Mappings: []*Mapping{m}, limit: 4})
	d.consumed()
	ctx := t.Context()
	conns, random := make([]*pgx.Conn, writers), make([]*rand.Rand, writers+1)
	for w := range random {
		if random[w] = rand.New(rand.NewPCG(uint64(w), 1)); w < writers {
			conns[w] = d.session("").Conn
		}
	}
	c := &cache{tb: t, conn: d.session("").Conn, rows: map[int]int{}}
	c.fill(ctx, "")
	for round := range *convergeRounds {
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for range 4 {
					if err := change(ctx, conns[w], random[w], func() int { return w + 1 + writers*random[w].IntN(rows/writers) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
				pause(ctx, c.conn, random[writers], 8)
				for range 6 { // for the writers from before to end, while no others come
					c.poll(ctx)
				}
			}
		}
		for !c.poll(ctx) {
		}
		got := c.rows
		c.rows = map[int]int{}
		c.fill(ctx, "")
		for id, price := range c.rows {
			if got[id] != price {
				t.Errorf("round %d: row %d: the consumer has %d, the table %d", round, id, got[id], price)
			}
		}
	}
	if c.wholes == 0 {
		t.Error("the outbox was never full: this test has shown nothing")
	}
	t.Logf("%d times the whole table", c.wholes)
}

// change is one transaction of some statements, each of a row that no other writer changes, so that none waits for another.
func change(ctx context.Context, conn *pgx.Conn, r *rand.Rand, row func() int) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}[r.IntN(3)]})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	for range 1 + r.IntN(3) {
		if _, err := tx.Exec(ctx, "UPDATE product SET price = price + 1 WHERE id = $1", row()); err != nil {
			return err
		}
		pause(ctx, conn, r, 3)
	}
	if r.IntN(5) == 0 {
		return nil
	}
	return tx.Commit(ctx)
}

// pause lets the others go first, for some milliseconds at most.
func pause(ctx context.Context, conn *pgx.Conn, r *rand.Rand, most float64) {
	_, _ = conn.Exec(ctx, "SELECT pg_sleep($1::float8)", r.Float64()*most/1000) // what fails here fails the next statement too
}
