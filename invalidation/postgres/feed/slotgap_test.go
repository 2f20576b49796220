package feed

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

const (
	dropSlot = "select pg_drop_replication_slot('cacheproxy')"
	makeSlot = "select pg_create_logical_replication_slot('cacheproxy', 'pgoutput')"
)

// dropped drops the slot, which somebody may be reading.
func dropped(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	until(t, func() bool {
		_, err := conn.Exec(context.Background(), dropSlot)
		return err == nil
	})
}

// TestSlotGap takes from a feed what it reads from, while it runs and while it does not: it is blind until that is mended, and before it sees again
// it has the table's copies confirmed, since what changed meanwhile is told by nobody.
func TestSlotGap(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	const change = "insert into product values (1, 7)"
	install := func() { publish(t, conn, product()) }
	for _, test := range []struct {
		name  string
		take  func()
		mend  func()
		blind bool // until it is mended
	}{
		{"slot dropped", func() { dropped(t, conn); do(t, conn, change) }, install, true},
		{"slot made again at once", func() { dropped(t, conn); do(t, conn, change); do(t, conn, makeSlot) }, func() {}, false},
		{"slot advanced by somebody", func() {
			do(t, conn, change)
			until(t, func() bool {
				_, err := conn.Exec(context.Background(), "select pg_replication_slot_advance('cacheproxy', pg_current_wal_lsn())")
				return err == nil
			})
		}, func() {}, false},
		{"table out of the publication", func() { do(t, conn, "alter publication cacheproxy drop table product"); do(t, conn, change) }, install, true},
		{"another publication", func() {
			do(t, conn, "alter publication cacheproxy set (publish = 'insert', publish_via_partition_root = true)")
			do(t, conn, "update product set category = 8")
		}, install, true},
		{"rows filtered", func() {
			do(t, conn, "alter publication cacheproxy set table product where (id > 5)")
			do(t, conn, change)
		}, install, true},
		{"publication gone", func() { do(t, conn, "drop publication cacheproxy"); do(t, conn, change) }, install, true},
		{"another table", func() {
			do(t, conn, "alter table product rename to old; create table product(id int primary key, category int not null default 0, name text); drop table old")
			do(t, conn, change)
		}, install, true},
	} {
		for _, running := range []bool{true, false} {
			do(t, conn, "delete from product")
			c := decode(t, url, nil)
			c.clear()
			if !running {
				c.stop()
			}
			c.log.taken()
			test.take()
			if !running {
				test.mend()
				c = consume(t, url, bySlot)
			} else if test.blind {
				until(t, func() bool { return c.Blind(time.Now(), time.Hour) })
				if s := c.State(); s.Missing != 1 || !s.Up {
					t.Errorf("%s: state %+v", test.name, s)
				}
				test.mend()
			}
			var got []string
			until(t, func() bool {
				got = append(got, c.log.taken()...)
				return slices.Contains(got, "confirm "+wholeProduct)
			})
			sees(t, c)
			if c.State().Failed[unknownGap.String()] == 0 {
				t.Errorf("%s: no gap is told of", test.name)
			}
			c.log.taken()
			c.purgesOf(conn, "insert into product values (5, 6)", "tag:category:6", "tag:product:5")
			if c.stop(); t.Failed() {
				t.Fatalf("%s, running %v", test.name, running)
			}
		}
	}
}

// TestSlotGapRemembered takes a table out of the publication and puts it back by hand, of which the log says nothing. Who has seen it out
// remembers that in the log, for a process that comes later.
func TestSlotGapRemembered(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	do(t, conn, "alter publication cacheproxy drop table product")
	until(t, func() bool { return c.Blind(time.Now(), time.Hour) })
	<-c.Woken()
	c.stop()
	do(t, conn, "alter publication cacheproxy add table product")
	c = consume(t, url, bySlot)
	c.purges("confirm " + wholeProduct)
	sees(t, c)
}

// TestSlotGapOverwritten has an instance that has not looked at the catalog yet write that all was told, after another has seen that a table
// was out of the publication, and before that one sees it back: what an instance has seen it remembers by itself, too.
func TestSlotGapOverwritten(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	ctx := context.Background()
	c := decode(t, url, nil)
	c.stop()
	c.log.taken()
	one := newSlot(&session{feed: c.Feed, conn: dial(t, url), waiting: map[int64]left{}})
	other := newSlot(&session{feed: c.Feed, conn: dial(t, url), waiting: map[int64]left{}})
	pass := func() {
		t.Helper()
		one.next = time.Time{} // the catalog is looked at again
		if _, err := one.pass(ctx, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.catalog(ctx, true); err != nil {
		t.Fatal(err)
	}
	p, err := other.look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	do(t, conn, "alter publication cacheproxy drop table product")
	pass()
	id := product().ID
	if err := other.write(ctx, milestone{p.confirmed.String(), p.system, p.timeline, map[string]string{id: other.told[id].State}}); err != nil {
		t.Fatal(err)
	}
	do(t, conn, "alter publication cacheproxy add table product")
	if pass(); !slices.Contains(c.log.taken(), "confirm "+wholeProduct) {
		t.Error("what was changed meanwhile is believed to have been told")
	}
	if pass(); len(c.log.taken()) > 0 {
		t.Error("purged once more")
	}
}

// TestSlotGapHeldOpen has a table come into the publication while a transaction is open that has changed it: what it commits is told by nobody, so
// the feed is blind until it has ended, and has the copies confirmed then.
func TestSlotGapHeldOpen(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	do(t, conn, "alter publication cacheproxy drop table product")
	until(t, func() bool { return c.Blind(time.Now(), time.Hour) })
	writer, err := dial(t, url).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	do(t, writer, "insert into product values (1, 7)")
	before := c.State().Failed[unknownGap.String()]
	publish(t, conn, product())
	until(t, func() bool { return c.State().Failed[unknownGap.String()] > before })
	<-c.Woken()
	if got := c.log.taken(); !c.Blind(time.Now(), time.Hour) || len(got) > 0 {
		t.Errorf("purged %q, blind %v, before the writer has ended", got, c.Blind(time.Now(), time.Hour))
	}
	if err := writer.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	sees(t, c)
	if got := c.log.taken(); !slices.Contains(got, "confirm "+wholeProduct) {
		t.Errorf("purged %q", got)
	}
}

// TestSlotPromoted has a standby take the place of its primary: it has no slot, and when one is made there, nobody knows what it lacks.
func TestSlotPromoted(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	primary, err := servers.StartPostgres(ctx, folder(t), "wal_level=logical", "wal_keep_size=64MB")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = primary.Stop() }()
	conn := dial(t, primary.URL())
	do(t, conn, "create table product(id int primary key, category int not null default 0, name text)")
	publish(t, conn, product())
	standby, err := primary.Standby(ctx, folder(t), "wal_level=logical")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = standby.Stop() }()
	hosts := func(of *servers.PostgresServer) string {
		_, rest, _ := strings.Cut(of.URL(), "@")
		host, _, _ := strings.Cut(rest, "/")
		return host
	}
	both := strings.Replace(primary.URL(), hosts(primary), hosts(standby)+","+hosts(primary), 1)
	c := decode(t, both, nil)
	c.purgesOf(conn, "insert into product values (1, 7)", "tag:category:7", "tag:product:1")
	primary.Kill()
	after := dial(t, standby.URL())
	do(t, after, "select pg_promote()")
	until(t, func() bool { return c.State().Missing == 1 && c.State().Up })
	publish(t, after, product())
	c.purges("confirm " + wholeProduct)
	sees(t, c)
	c.purgesOf(after, "insert into product values (2, 6)", "tag:category:6", "tag:product:2")
}

// TestSlotLosesItsLog has nobody consume until the server gives up what the slot needs: the feed is blind, an install makes another slot, and the copies
// are confirmed.
func TestSlotLosesItsLog(t *testing.T) {
	url := decoded(t, "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
	conn := dial(t, url)
	decode(t, url, nil).stop()
	do(t, conn, "create table other(t text)")
	until(t, func() bool {
		do(t, conn, "insert into other select repeat(md5(i::text), 20) from generate_series(1, 10000) i")
		do(t, conn, "checkpoint")
		var status string
		if err := conn.QueryRow(context.Background(), "select wal_status from pg_replication_slots").Scan(&status); err != nil {
			t.Fatal(err)
		}
		return status == "lost"
	})
	c := consume(t, url, bySlot)
	until(t, func() bool { return c.State().Up && c.State().Missing == 1 })
	publish(t, conn, product())
	c.purges("confirm " + wholeProduct)
	sees(t, c)
	c.purgesOf(conn, "insert into product values (1, 7)", "tag:category:7", "tag:product:1")
}

// TestSlotHistory believes a milestone only of the same cluster, the same timeline and the same place; and, while it runs, not a server of which the
// log is shorter than it was.
func TestSlotHistory(t *testing.T) {
	of := slotFacts{system: "7712", timeline: "00000001", confirmed: 0x150f9d8, current: 0x1600000}
	right := milestone{Through: "0/150F9D8", System: "7712", Timeline: "00000001"}
	if !right.proves(of) {
		t.Error("a milestone does not prove what it says")
	}
	for _, m := range []milestone{
		{}, {Through: "0/150F9D0", System: "7712", Timeline: "00000001"}, {Through: "0/150F9D8", System: "7713", Timeline: "00000001"},
		{Through: "0/150F9D8", System: "7712", Timeline: "00000002"},
	} {
		if m.proves(of) {
			t.Errorf("%+v proves %+v", m, of)
		}
	}
	memory := slotMemory{system: "7712", current: 0x1600000}
	if memory.setBack(of) {
		t.Error("the same log was set back")
	}
	if of.current--; !memory.setBack(of) {
		t.Error("a shorter log was not set back")
	}
}

// TestSlotServerRestarts restarts the server at once, without a word to anybody, and goes on where it was.
func TestSlotServerRestarts(t *testing.T) {
	url := decoded(t)
	c := decode(t, url, nil)
	conn := dial(t, url)
	do(t, conn, "insert into product values (1, 7)")
	c.purges("tag:category:7", "tag:product:1")
	c.log.fail.Store(true)
	do(t, conn, "insert into product values (2, 6)")
	until(t, func() bool { return c.State().Failed[unconfirmed.String()] > 0 })
	victim := dial(t, url)
	if err := syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL); err != nil { // the server then ends all, and recovers
		t.Fatal(err)
	}
	until(t, func() bool { return conn.Ping(context.Background()) != nil })
	c.log.fail.Store(false)
	var again *pgx.Conn
	until(t, func() bool {
		var err error
		again, err = pgx.Connect(context.Background(), url)
		return err == nil
	})
	defer again.Close(context.Background())
	sees(t, c)
	c.clear()
	if got := c.log.taken(); !slices.Contains(got, "tag:product:2") {
		t.Errorf("purged %q", got)
	}
	c.purgesOf(again, "insert into product values (3, 5)", "tag:category:5", "tag:product:3")
}

// TestSlotPartitions has rows in partitions and in tables that inherit, of which each is published by itself.
func TestSlotPartitions(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	do(t, conn, `drop table product; create table product(id int, category int, name text, primary key (id)) partition by range (id);
		create table p1 partition of product for values from (0) to (10); create table p2(name text, id int primary key, category int);
		alter table product attach partition p2 for values from (10) to (20)`)
	m := product()
	publish(t, conn, m)
	c := decode(t, url, nil)
	c.purgesOf(conn, "insert into product values (1, 7), (11, 8)", "tag:category:7", "tag:category:8", "tag:product:1", "tag:product:11")
	c.purgesOf(conn, "update p2 set category = 9", "tag:category:8", "tag:category:9", "tag:product:11")
	c.purgesOf(conn, "update product set id = 12 where id = 1", "tag:category:7", "tag:product:1", "tag:product:12")
	c.purgesOf(conn, "truncate p1", wholeProduct)
	c.purgesOf(conn, "truncate product", wholeProduct)
	do(t, conn, "create table p3 partition of product for values from (20) to (30); alter table p3 replica identity full")
	do(t, conn, "insert into product values (21, 5)")
	until(t, func() bool { return slices.Contains(c.log.taken(), "confirm "+wholeProduct) })
	sees(t, c)
	c.log.taken()
	c.purgesOf(conn, "delete from product where id = 21", "tag:category:5", "tag:product:21")
	do(t, conn, "alter table product detach partition p1")
	until(t, func() bool { return slices.Contains(c.log.taken(), "confirm "+wholeProduct) })
}

// TestSlotOthers reads one database by two slots, which have nothing to do with each other.
func TestSlotOthers(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	other := postgres.Logical{Slot: "other", Publication: "Other; --"}
	if _, err := (&postgres.Installation{Mappings: []*postgres.Mapping{product()}, Logical: other}).Install(context.Background(), conn); err != nil {
		t.Fatal(err)
	}
	a, b := decode(t, url, nil), decode(t, url, func(o *Options) { o.Config.Logical = other })
	do(t, conn, "insert into product values (1, 7)")
	a.purges("tag:category:7", "tag:product:1")
	b.purges("tag:category:7", "tag:product:1")
}
