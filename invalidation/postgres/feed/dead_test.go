package feed

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// deadRows may be raised to 1800000, which is what an hour of 500 changes a second leaves behind a foreign transaction.
var deadRows = flag.Int("dead", 30_000, "rows that TestPollStaysFlat consumes while a foreign transaction is open")

// TestPollStaysFlat consumes rows while a foreign transaction keeps the server from forgetting them. What a poll costs, in pages of the
// table and its index that are touched, must not depend on how many there are; that of a look at everything does.
func TestPollStaysFlat(t *testing.T) {
	url := database(t)
	foreign, err := dial(t, url).BeginTx(context.Background(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	do(t, foreign, "select pg_current_xact_id()")
	conn := dial(t, url)
	do(t, conn, "insert into cacheproxy.outbox(mapping, width, tuples) select 'public.product#1', 1, array[i::text] from generate_series(1, $1) i", *deadRows)
	do(t, conn, "delete from cacheproxy.outbox")
	do(t, conn, "vacuum (analyze, skip_locked) cacheproxy.outbox") // which the foreign transaction keeps from doing anything
	full := pages(t, conn, everything())
	_, in := lookFor(t, conn, everything())
	for n := range 20 {
		do(t, conn, insert)
		start := time.Now()
		p, err := look(context.Background(), conn, in)
		took := time.Since(start)
		if err != nil || len(p.rows) != 1 {
			t.Fatalf("found %v: %v", p.rows, err)
		}
		cost, deleting := pages(t, conn, in), touched(t, conn, deleteSQL, []string{p.rows[0].xid}, []int64{p.rows[0].id})
		if cost > 60 || deleting > 60 {
			t.Errorf("poll %d touches %d pages, and its delete %d; a look at everything %d", n, cost, deleting, full)
		}
		if n == 19 {
			t.Logf("%d dead rows: a poll touches %d pages in %v, its delete %d; a look at everything %d", *deadRows, cost, took, deleting, full)
		}
		in = since(p.seen, nil)
	}
	if full < *deadRows/100 {
		t.Errorf("a look at everything touches %d pages: are the rows not dead?", full)
	}
}

// pages is how many pages a look touches.
func pages(t testing.TB, conn *pgx.Conn, in scope) int {
	t.Helper()
	return touched(t, conn, lookSQL, in.xids, in.after, in.fromXID, in.fromID, in.waiting, int32(rowBytes), int32(pageRows), in.waitXIDs)
}

// touched is how many pages a statement touches, which it carries out.
func touched(t testing.TB, conn *pgx.Conn, sql string, args ...any) int {
	t.Helper()
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	args = append([]any{pgx.QueryExecModeExec}, args...)
	if err := conn.QueryRow(context.Background(), "explain (analyze, buffers, format json) "+sql, args...).Scan(&plans); err != nil {
		t.Fatal(fmt.Errorf("explain: %w", err))
	}
	return plans[0].Plan.Hit + plans[0].Plan.Read
}
