package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"

	"github.com/jackc/pgx/v5"
)

// recorder is a log that notes what is purged.
type recorder struct {
	invalidation.Log
	fail   atomic.Bool
	mu     sync.Mutex
	orders []invalidation.Order
	news   chan struct{} // has room for one
}

func (r *recorder) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	if r.fail.Load() {
		return invalidation.Receipt{}, invalidation.ErrNotConfirmed
	}
	receipt, err := r.Log.Invalidate(ctx, o)
	r.mu.Lock()
	r.orders = append(r.orders, o)
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
	return receipt, err
}

// taken are the members that were purged since it was last asked; those whose copies are to be confirmed have that before them.
func (r *recorder) taken() (members []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.orders {
		for _, m := range o.Members {
			if o.Confirm {
				members = append(members, "confirm "+m.String())
			} else {
				members = append(members, m.String())
			}
		}
	}
	r.orders = nil
	slices.Sort(members)
	return slices.Compact(members)
}

// consumer is a feed under test.
type consumer struct {
	*Feed
	t    testing.TB
	log  *recorder
	end  context.CancelFunc
	gone chan struct{}
}

// consume runs a feed until the test ends. change may be nil.
func consume(t testing.TB, url string, change func(*Options)) *consumer {
	t.Helper()
	c := &consumer{
		t: t, gone: make(chan struct{}),
		log: &recorder{Log: invalidation.NewLocal(invalidation.NewLedger(), "test"), news: make(chan struct{}, 1)},
	}
	o := Options{
		Config: Config{
			Source: func() (*pgx.ConnConfig, error) { return postgres.ParseURL(url, "") }, Key: url,
			Mappings: []*postgres.Mapping{product()}, Poll: 10 * time.Millisecond,
		},
		Log: c.log, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Preferred: func() bool { return true },
		Purged: func(time.Duration) {}, Held: func(time.Duration) {}, Pass: func(Kind) bool { return true },
	}
	if change != nil {
		change(&o)
	}
	c.Feed = New(o)
	var ctx context.Context
	ctx, c.end = context.WithCancel(context.Background())
	go func() {
		defer close(c.gone)
		_ = c.Run(ctx)
	}()
	t.Cleanup(c.stop)
	return c
}

func (c *consumer) stop() {
	c.end()
	<-c.gone
}

// purges waits until the members were purged.
func (c *consumer) purges(want ...string) {
	c.t.Helper()
	deadline := time.After(20 * time.Second)
	var got []string
	for {
		got = append(got, c.log.taken()...)
		slices.Sort(got)
		got = slices.Compact(got)
		if len(got) >= len(want) {
			break
		}
		select {
		case <-c.log.news:
		case <-deadline:
			c.t.Fatalf("purged %v, want %v; state %+v", got, want, c.State())
		}
	}
	if !slices.Equal(got, want) {
		c.t.Fatalf("purged %v, want %v", got, want)
	}
}

// clear waits until all changes that are in sight now are purged.
func (c *consumer) clear() {
	c.t.Helper()
	now := time.Since(c.sight.began)
	until(c.t, func() bool { return time.Duration(c.sight.clear.Load()) > now })
}

// until polls a condition, for what has no event to wait for.
func until(t testing.TB, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("not in a minute")
		}
	}
}

// rows are how many are in the outbox.
func rows(t testing.TB, conn *pgx.Conn) (n int) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), "select count(*) from cacheproxy.outbox").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestChanges purges what a change names before and after it, and nothing of one that is rolled back, whatever else is under way.
func TestChanges(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	foreign, err := dial(t, url).BeginTx(context.Background(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	do(t, foreign, "select pg_current_xact_id()")
	c := consume(t, url, nil)
	do(t, conn, "insert into product values (1, 7)")
	c.purges("tag:category:7", "tag:product:1")
	do(t, conn, "update product set category = 8 where id = 1")
	c.purges("tag:category:7", "tag:category:8", "tag:product:1")
	do(t, conn, "begin; update product set category = 9; rollback")
	do(t, conn, "begin; insert into product values (2, 3); savepoint s; insert into product values (3, 4); rollback to s; commit")
	c.purges("tag:category:3", "tag:product:2")
	do(t, conn, "truncate product")
	c.purges("tag:table:public.product")
	c.clear()
	if n := rows(t, conn); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if s := c.State(); !s.Up || s.Waiting != 0 || s.Missing != 0 || s.Rows != 4 {
		t.Errorf("state %+v", s)
	}
}

// TestStrangeRows consumes what no trigger writes: each purges at least what it may stand for, is counted, and comes back no more.
func TestStrangeRows(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	do(t, conn, "alter table cacheproxy.outbox alter mapping drop not null, alter width drop not null, alter at drop not null")
	id := product().ID
	for _, row := range []struct {
		values []any // of mapping, width, tuples, at
		want   string
		kind   Kind
	}{
		{[]any{id, 3, []string{"1", "2", "3"}, "now"}, "tag:table:public.product", malformed},
		{[]any{id, 2, []string{"1"}, "now"}, "tag:table:public.product", malformed},
		{[]any{id, nil, []string{"1", "2"}, "now"}, "tag:table:public.product", malformed},
		{[]any{id, -2, []string{}, "now"}, "tag:table:public.product", malformed},
		{[]any{id, 0, []string{}, "infinity"}, "tag:table:public.product", malformed},
		{[]any{id, 2, [][]string{{"1"}, {"2"}}, nil}, "tag:category:2", kinds},
		{[]any{id, 2, nil, "-infinity"}, "tag:table:public.product", kinds},
		{[]any{id, 2, []string{strings.Repeat("x", 3<<20), "1"}, "now"}, "tag:table:public.product", kinds},
		{[]any{"public.product#0000", 1, []string{"1"}, "now"}, "tag:table:public.product", unknownMapping},
		{[]any{"public.product", 0, nil, "now"}, "tag:table:public.product", kinds},
		{[]any{strings.Repeat("é#", 100_000), 1, []string{"1"}, "now"}, "tag:table:" + strings.TrimSuffix(strings.Repeat("é#", 100_000), "#"), unknownMapping},
		{[]any{nil, 1, []string{"1"}, "now"}, "all", kinds},
	} {
		c := consume(t, url, nil)
		do(t, conn, "insert into cacheproxy.outbox(mapping, width, tuples, at) values ($1::text, $2::int, $3::text[], $4::timestamptz)", row.values...)
		until(t, func() bool { return rows(t, conn) == 0 })
		c.stop()
		if got := c.log.taken(); !slices.Contains(got, row.want) {
			t.Errorf("row %.100v purges %.200v, want %.100s", row.values, got, row.want)
		}
		failed := uint64(0)
		if row.kind < kinds {
			failed = c.State().Failed[row.kind.String()]
		}
		if row.kind < kinds && failed != 1 || c.State().Failed[lookFailed.String()] > 0 {
			t.Errorf("row %.100v: %v", row.values, c.State().Failed)
		}
	}
}

// TestManyNames has a bulk change become the table's tag, and not the marks of all its rows.
func TestManyNames(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	do(t, conn, "insert into cacheproxy.outbox(mapping, width, tuples) select $1, 2, array(select (i * 1000 + j / 2)::text from generate_series(1, 1000) j) from generate_series(1, 100) i", product().ID)
	c := consume(t, url, nil)
	c.purges("tag:table:public.product")
}

// TestKilledBetween ends a consumer after its purge and before its delete: the row is there, and the next one purges it once more.
func TestKilledBetween(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	reached, killed := make(chan struct{}), make(chan struct{})
	kill := sync.OnceFunc(func() { close(killed) })
	c := consume(t, url, func(o *Options) {
		o.between = sync.OnceFunc(func() { close(reached); <-killed })
	})
	t.Cleanup(kill) // before the consumer's, which waits for it
	do(t, conn, "insert into product values (1, 7)")
	<-reached
	c.purges("tag:category:7", "tag:product:1")
	c.end()
	kill()
	<-c.gone
	if rows(t, conn) != 1 {
		t.Fatal("the row is gone")
	}
	consume(t, url, nil).purges("tag:category:7", "tag:product:1")
	until(t, func() bool { return rows(t, conn) == 0 })
}

// TestUnconfirmed keeps rows until their purge holds, and is blind meanwhile.
func TestUnconfirmed(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	c := consume(t, url, nil)
	c.clear()
	c.log.fail.Store(true)
	do(t, conn, "insert into product values (1, 7)")
	until(t, func() bool { return c.State().Failed[unconfirmed.String()] > 1 })
	if rows(t, conn) != 1 || !c.Blind(time.Now(), 50*time.Millisecond) {
		t.Errorf("%d rows, state %+v", rows(t, conn), c.State())
	}
	c.log.fail.Store(false)
	c.purges("tag:category:7", "tag:product:1")
	c.clear()
	if c.Blind(time.Now(), 5*time.Second) {
		t.Errorf("still blind: %+v", c.State())
	}
}

// TestAside has an instance that is not preferred leave rows alone, consume what nobody else does, and what its own writes bring.
func TestAside(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	c := consume(t, url, func(o *Options) { o.Preferred = func() bool { return false } })
	c.clear()
	do(t, conn, "insert into product values (1, 7)")
	c.Woken()
	began := time.Now()
	c.purges("tag:category:7", "tag:product:1")
	if took := time.Since(began); took > patience {
		t.Errorf("the echo of a write took %v", took)
	}
	do(t, conn, "insert into product values (2, 7)")
	began = time.Now()
	c.purges("tag:category:7", "tag:product:2")
	if took := time.Since(began); took < patience*3/2 { // it is seen by one look, and consumed by the one after that
		t.Errorf("a row was left to others for %v", took)
	}
	until(t, func() bool { return rows(t, conn) == 0 })
}

// TestServerCrashes kills a process of the server, which then ends all its connections and recovers: nothing is lost.
func TestServerCrashes(t *testing.T) {
	url := database(t, "synchronous_commit=on")
	c := consume(t, url, nil)
	c.clear()
	conn, victim := dial(t, url), dial(t, url)
	foreign, err := dial(t, url).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	do(t, foreign, "insert into product values (3, 5)") // is rolled back by the crash
	c.log.fail.Store(true)                              // so that the row is there when the server dies
	do(t, conn, "insert into product values (1, 7)")
	until(t, func() bool { return c.State().Failed[unconfirmed.String()] > 0 })
	if err := syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return conn.Ping(context.Background()) != nil })
	c.log.fail.Store(false)
	c.purges("tag:category:7", "tag:product:1")
	var again *pgx.Conn
	until(t, func() bool {
		var err error
		again, err = pgx.Connect(context.Background(), url)
		return err == nil
	})
	defer again.Close(context.Background())
	do(t, again, "insert into product values (2, 6)")
	until(t, func() bool { return rows(t, again) == 0 })
	if got := c.log.taken(); !slices.Contains(got, "tag:product:2") || slices.Contains(got, "tag:product:3") {
		t.Errorf("purged %v", got)
	}
}

// TestHint hears of a change long before the next poll.
func TestHint(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	if _, err := (&postgres.Installation{Mappings: []*postgres.Mapping{product()}, Notify: true}).Install(context.Background(), conn); err != nil {
		t.Fatal(err)
	}
	do(t, conn, "delete from cacheproxy.outbox")
	c := consume(t, url, func(o *Options) { o.Config.Notify, o.Config.Poll = true, time.Hour })
	until(t, func() bool {
		var n int
		if err := conn.QueryRow(context.Background(), "select count(*) from pg_stat_activity where query = 'listen cacheproxy'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0 && c.State().Up
	})
	do(t, conn, "insert into product values (1, 7)")
	c.purges("tag:category:7", "tag:product:1")
}

// TestNotInstalled is blind for a mapping that has no triggers, and says so.
func TestNotInstalled(t *testing.T) {
	url := database(t)
	other := product()
	other.Table = "price"
	other.Identify()
	c := consume(t, url, func(o *Options) { o.Config.Mappings = append(o.Config.Mappings, other) })
	until(t, func() bool { return c.State().Missing == 1 })
	if !c.Blind(time.Now(), time.Hour) {
		t.Error("nothing tells of prices, and the feed is not blind")
	}
	conn := dial(t, url)
	do(t, conn, "create table price(id int primary key, category int)")
	if _, err := (&postgres.Installation{Mappings: []*postgres.Mapping{product(), other}}).Install(context.Background(), conn); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return !c.Blind(time.Now(), time.Hour) })
}

// TestWrongPassword says why nothing is seen, without the password, and goes on once the source has the right one.
func TestWrongPassword(t *testing.T) {
	url := database(t)
	var right atomic.Bool
	c := consume(t, url, func(o *Options) {
		o.Config.Source = func() (*pgx.ConnConfig, error) {
			if right.Load() {
				return postgres.ParseURL(url, "")
			}
			return postgres.ParseURL(url, "secret-of-yesterday")
		}
		o.Pass = func(Kind) bool { return true }
	})
	until(t, func() bool { return c.State().Failed[connectionFailed.String()] > 1 })
	if !c.Blind(time.Now(), 10*time.Millisecond) || c.State().Up {
		t.Errorf("state %+v", c.State())
	}
	right.Store(true)
	until(t, func() bool { return c.State().Up })
	if _, err := connect(context.Background(), func() (*pgx.ConnConfig, error) { return postgres.ParseURL(url, "secret-of-yesterday") }); err == nil || strings.Contains(err.Error(), "yesterday") {
		t.Errorf("error %v", err)
	}
	if _, err := connect(context.Background(), func() (*pgx.ConnConfig, error) { return nil, errors.New("names a file that cannot be read") }); err == nil {
		t.Error("no error")
	}
}

// TestSettle repeats what an upstream needs repeated.
func TestSettle(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	c := consume(t, url, func(o *Options) {
		o.Config.Mappings[0].Settle, o.Config.Settle = 2*time.Second, 3*time.Second
	})
	do(t, conn, "insert into product values (1, 7)")
	do(t, conn, "insert into cacheproxy.outbox(mapping, width) values ('public.price#123', 0)")
	until(t, func() bool { return rows(t, conn) == 0 })
	c.stop()
	settles := map[policy.Member]time.Duration{}
	for _, o := range c.log.orders {
		for _, m := range o.Members {
			settles[m] = o.Settle
		}
	}
	if settles["tproduct:1"] != 2*time.Second || settles["ttable:public.price"] != 3*time.Second {
		t.Errorf("settles %v", settles)
	}
}
