package feed

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// overflow has triggers find that nobody consumes, so that they write no rows.
func overflow(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	do(t, conn, "select setval('cacheproxy.outbox_id_seq', 1000000)")
}

// owes reports whether the tag of a table is owed.
func owes(t testing.TB, conn *pgx.Conn) (is bool) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), "select coalesce(pg_sequence_last_value(owed), 0) = 1 from cacheproxy.marker").Scan(&is); err != nil {
		t.Fatal(err)
	}
	return is
}

// TestOwedHeldOpen holds a writer that has left out its row open across a consumption: the tag stays owed, and is purged once more after the
// writer has committed.
func TestOwedHeldOpen(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	overflow(t, conn)
	writer, err := dial(t, url).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	do(t, writer, "insert into product values (1, 7)")
	if rows(t, conn) != 0 || !owes(t, conn) {
		t.Fatal("the change has a row, or nothing is owed")
	}
	c := consume(t, url, nil)
	c.purges("confirm tag:table:public.product")
	for range 2 { // at the pace of owedPause
		c.purges("confirm tag:table:public.product")
		if !owes(t, conn) {
			t.Fatal("settled while the writer was under way")
		}
	}
	if !c.Blind(time.Now(), 0) {
		t.Error("not behind, with a tag that is owed")
	}
	c.log.taken()
	if err := writer.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return !owes(t, conn) })
	if got := c.log.taken(); !slices.Contains(got, "confirm tag:table:public.product") {
		t.Errorf("settled without a purge: %v", got)
	}
	do(t, conn, "insert into product values (2, 6)") // somebody consumes, so that there are rows again
	c.purges("tag:category:6", "tag:product:2")
	c.clear()
}

// TestOwedFrozen freezes a consumer while it holds a marker: the server ends its transaction, and another one settles.
func TestOwedFrozen(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	overflow(t, conn)
	do(t, conn, "insert into product values (1, 7)")
	frozen, thaw := make(chan struct{}), make(chan struct{})
	first := true
	consume(t, url, func(o *Options) {
		o.between = func() {
			if first {
				first = false
				close(frozen)
				<-thaw
			}
		}
	})
	defer close(thaw)
	<-frozen
	do(t, conn, "insert into product values (2, 7)") // waits for nobody, and has a row, since the marker is locked
	if rows(t, conn) != 1 {
		t.Errorf("%d rows", rows(t, conn))
	}
	other := consume(t, url, nil)
	other.purges("confirm tag:table:public.product", "tag:category:7", "tag:product:2")
	until(t, func() bool { return !owes(t, conn) })
}

// TestLost purges the tables that allow changes to be lost once the database says that some were.
func TestLost(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	c := consume(t, url, func(o *Options) { o.Config.Mappings[0].Lossy = true })
	c.clear()
	do(t, conn, "select nextval('cacheproxy.lost')")
	c.purges("confirm tag:table:public.product")
	if c.State().Failed[changesLost.String()] != 1 {
		t.Errorf("state %+v", c.State())
	}
}

// TestLostUnseen loses changes while nobody is connected: before the first connection, and between two.
func TestLostUnseen(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	do(t, conn, "select nextval('cacheproxy.lost')")
	var barred atomic.Bool
	c := consume(t, url, func(o *Options) {
		o.Config.Mappings[0].Lossy = true
		source := o.Config.Source
		o.Config.Source = func() (*pgx.ConnConfig, error) {
			if barred.Load() {
				return nil, errors.New("the database is away")
			}
			return source()
		}
	})
	c.purges("confirm tag:table:public.product")
	c.clear()
	if got := c.State().Failed[changesLost.String()]; got != 0 {
		t.Errorf("%d alarms about what was lost before", got)
	}
	lose := func(sql ...string) {
		barred.Store(true)
		do(t, conn, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cacheproxy'")
		until(t, func() bool { return !c.State().Up })
		for _, s := range sql {
			do(t, conn, s)
		}
		barred.Store(false)
	}
	lose("select nextval('cacheproxy.lost')")
	c.purges("confirm tag:table:public.product")
	until(t, func() bool { return c.State().Failed[changesLost.String()] == 1 })
	lose()
	until(t, func() bool { return c.State().Up })
	c.clear()
	if got := c.log.taken(); len(got) > 0 || c.State().Failed[changesLost.String()] != 1 {
		t.Errorf("nothing was lost since, and %v purged", got)
	}
}
