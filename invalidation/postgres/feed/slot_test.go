package feed

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"
	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

var logical = postgres.Logical{Slot: "cacheproxy", Publication: "cacheproxy"}

// decoded is a server with products, of which changes are told by a slot.
func decoded(t testing.TB, settings ...string) (url string) {
	t.Helper()
	url = servers.Postgres(t, append([]string{"wal_level=logical", "synchronous_commit=on", "max_prepared_transactions=10"}, settings...)...)
	conn := dial(t, url)
	do(t, conn, "create table product(id int primary key, category int not null default 0, name text)")
	publish(t, conn, product())
	return url
}

func publish(t testing.TB, conn *pgx.Conn, mappings ...*postgres.Mapping) {
	t.Helper()
	if _, err := (&postgres.Installation{Mappings: mappings, Logical: logical}).Install(context.Background(), conn); err != nil {
		t.Fatal(err)
	}
}

// bySlot has a consumer read the slot.
func bySlot(o *Options) { o.Config.Logical = logical }

// decode runs a feed that reads the slot, and waits until it sees. The gap that a new slot is has been purged.
func decode(t testing.TB, url string, change func(*Options)) *consumer {
	t.Helper()
	c := consume(t, url, func(o *Options) {
		bySlot(o)
		if change != nil {
			change(o)
		}
	})
	sees(t, c)
	c.log.taken()
	return c
}

func sees(t testing.TB, c *consumer) {
	t.Helper()
	until(t, func() bool { return c.State().Up && !c.Blind(time.Now(), 5*time.Second) })
}

// reads waits until the slot was advanced behind all that is committed, and tells what was purged.
func (c *consumer) reads(conn *pgx.Conn) []string {
	c.t.Helper()
	c.clear()
	return c.log.taken()
}

// purgesOf holds what statements have purged against what they should.
func (c *consumer) purgesOf(conn *pgx.Conn, sql string, want ...string) {
	c.t.Helper()
	do(c.t, conn, sql)
	if got := c.reads(conn); !slices.Equal(got, want) {
		c.t.Errorf("%s\npurged %q\nwant   %q", sql, got, want)
	}
}

const wholeProduct = "tag:table:public.product"

// TestSlot reads changes of each kind.
func TestSlot(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := consume(t, url, bySlot)
	c.purges("confirm " + wholeProduct) // nobody knows what was before the slot
	sees(t, c)
	c.purgesOf(conn, "insert into product values (1, 7), (2, 7)", "tag:category:7", "tag:product:1", "tag:product:2")
	c.purgesOf(conn, "update product set category = 8 where id = 1", "tag:category:7", "tag:category:8", "tag:product:1")
	c.purgesOf(conn, "update product set id = 3 where id = 2", "tag:category:7", "tag:product:2", "tag:product:3")
	c.purgesOf(conn, "delete from product where id = 3", "tag:category:7", "tag:product:3")
	c.purgesOf(conn, "truncate product", wholeProduct)
	c.purgesOf(conn, "begin; insert into product values (4, 1); rollback")
	c.purgesOf(conn, `begin; insert into product values (4, 1); savepoint a; insert into product values (5, 2); rollback to a;
		savepoint b; insert into product values (6, 3); release b; commit`, "tag:category:1", "tag:category:3", "tag:product:4", "tag:product:6")
	c.purgesOf(conn, "begin; insert into product values (7, 1); prepare transaction 'x'")
	c.purgesOf(conn, "commit prepared 'x'", "tag:category:1", "tag:product:7")
	c.purgesOf(conn, "insert into product select i, 1 from generate_series(1000, 10000) i", wholeProduct)
	c.purgesOf(conn, "set session_replication_role = replica; insert into product values (8, 1); reset session_replication_role", "tag:category:1", "tag:product:8")
	if s := c.State(); s.Failed[lookFailed.String()]+s.Failed[malformed.String()] > 0 || s.Retained <= 0 || s.Rows == 0 {
		t.Errorf("state %+v", s)
	}
}

// TestSlotGoesOn ends a consumer, and finds with the next one what was changed in between, and nothing else; so it does where the server was
// restarted.
func TestSlotGoesOn(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	c.purgesOf(conn, "insert into product values (1, 7)", "tag:category:7", "tag:product:1")
	c.stop()
	do(t, conn, "insert into product values (2, 6)")
	c = consume(t, url, bySlot)
	c.purges("tag:category:6", "tag:product:2")
	c.purgesOf(conn, "insert into product values (3, 5)", "tag:category:5", "tag:product:3")
	if n := c.State().Failed[unknownGap.String()]; n != 0 {
		t.Errorf("%d gaps", n)
	}
}

// TestSlotKilledBetween ends a consumer after its purge and before it advances the slot: the next one purges the same once more.
func TestSlotKilledBetween(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	decode(t, url, nil).stop()
	var c *consumer
	c = consume(t, url, func(o *Options) {
		bySlot(o)
		o.between = func() { c.end() }
	})
	do(t, conn, "insert into product values (1, 7)")
	<-c.gone
	if got := c.log.taken(); !slices.Equal(got, []string{"tag:category:7", "tag:product:1"}) {
		t.Fatalf("purged %q", got)
	}
	consume(t, url, bySlot).purges("tag:category:7", "tag:product:1")
}

// TestSlotBetween commits a change between a look and the advance that follows: the slot is not advanced over it.
func TestSlotBetween(t *testing.T) {
	url := decoded(t)
	conn, other := dial(t, url), dial(t, url)
	decode(t, url, nil).stop()
	once := sync.OnceFunc(func() { do(t, other, "insert into product values (2, 6)") })
	c := consume(t, url, func(o *Options) {
		bySlot(o)
		o.between = once
	})
	do(t, conn, "insert into product values (1, 7)")
	c.purges("tag:category:7", "tag:product:1")
	c.purges("tag:category:6", "tag:product:2")
}

// TestSlotPages has more waiting than is read at once, and a transaction among it that is longer than that by itself; each change is purged once,
// also where the milestone of the place comes after all of them.
func TestSlotPages(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	c.stop()
	do(t, conn, "do $$ begin for i in 1..4000 loop insert into product values (i, 1); commit; end loop; end $$")
	do(t, conn, "insert into product select i, 2 from generate_series(10001, 25000) i")
	do(t, conn, "do $$ begin for i in 4001..8000 loop insert into product values (i, 3); commit; end loop; end $$")
	log := &purgedAt{Log: invalidation.NewLocal(invalidation.NewLedger(), "test")}
	c = consume(t, url, func(o *Options) { bySlot(o); o.Log = log })
	c.clear()
	for _, name := range []string{"tag:product:1", "tag:product:4000", wholeProduct, "tag:product:4001", "tag:product:8000", "tag:category:3"} {
		if _, ok := log.at.Load(name); !ok {
			_, ok = log.at.Load(wholeProduct)
			if !ok {
				t.Errorf("%s is not purged", name)
			}
		}
	}
	if s := c.State(); s.Rows != 8000+15000 || s.Failed[unknownGap.String()] > 0 {
		t.Errorf("state %+v", s)
	}
	c.stop()
	// A milestone that comes after what its writer has not seen.
	page := newSlot(&session{feed: c.Feed, conn: conn, waiting: map[int64]left{}})
	if err := page.catalog(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	do(t, conn, "insert into product values (99999, 4)")
	p, err := page.look(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	do(t, conn, "delete from product") // 23,000 rows, in one
	if _, err := page.advance(context.Background(), p, p.transactions[len(p.transactions)-1].end, p.milestones[p.confirmed.String()].Told); err != nil {
		t.Fatal(err)
	}
	c = consume(t, url, bySlot)
	c.purges(wholeProduct)
	if n := c.State().Failed[unknownGap.String()]; n != 0 {
		t.Errorf("%d gaps", n)
	}
}

// TestSlotUnconfirmed advances the slot only when a purge holds.
func TestSlotUnconfirmed(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	at := confirmed(t, conn)
	c.log.fail.Store(true)
	do(t, conn, "insert into product values (1, 7)")
	until(t, func() bool { return c.State().Failed[unconfirmed.String()] > 1 })
	if got := confirmed(t, conn); got != at || !c.Blind(time.Now(), 50*time.Millisecond) {
		t.Errorf("advanced from %s to %s, state %+v", at, got, c.State())
	}
	c.log.fail.Store(false)
	c.purges("tag:category:7", "tag:product:1")
	until(t, func() bool { return confirmed(t, conn) != at })
}

func confirmed(t testing.TB, conn *pgx.Conn) (lsn string) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), "select confirmed_flush_lsn::text from pg_replication_slots").Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	return lsn
}

// TestSlotVisible has a commit wait for a standby that is not there: decoding tells of it, and it cannot be read. It is purged when it can,
// and not before; what others commit meanwhile is.
func TestSlotVisible(t *testing.T) {
	url := decoded(t)
	conn, stuck := dial(t, url), dial(t, url)
	c := decode(t, url, nil)
	do(t, conn, "alter system set synchronous_standby_names = 'nobody'")
	do(t, conn, "select pg_reload_conf()")
	until(t, func() bool {
		var names string
		if err := dial(t, url).QueryRow(context.Background(), "show synchronous_standby_names").Scan(&names); err != nil {
			t.Fatal(err)
		}
		return names == "nobody"
	})
	at := confirmed(t, conn)
	done := make(chan error, 1)
	go func() {
		_, err := stuck.Exec(context.Background(), "insert into product values (1, 7)")
		done <- err
	}()
	until(t, func() bool {
		var n int
		if err := conn.QueryRow(context.Background(), "select count(*) from pg_stat_activity where wait_event = 'SyncRep'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	do(t, conn, "set synchronous_commit = local")
	c.purgesOf(conn, "insert into product values (2, 6)", "tag:category:6", "tag:product:2")
	c.purgesOf(conn, "insert into product values (3, 5)", "tag:category:5", "tag:product:3")
	if got := confirmed(t, conn); got != at {
		t.Errorf("advanced from %s to %s, over a change that is not purged", at, got)
	}
	do(t, conn, "alter system reset synchronous_standby_names")
	do(t, conn, "select pg_reload_conf()")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.purges("tag:category:7", "tag:product:1")
	until(t, func() bool { return confirmed(t, conn) != at })
}

// TestSlotLongTransaction holds a transaction open that has nothing to do with products: it delays nothing.
func TestSlotLongTransaction(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	foreign, err := dial(t, url).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	do(t, foreign, "select pg_current_xact_id()")
	at := confirmed(t, conn)
	c.purgesOf(conn, "insert into product values (1, 7)", "tag:category:7", "tag:product:1")
	until(t, func() bool { return confirmed(t, conn) != at })
	do(t, foreign, "insert into product values (2, 6)")
	if err := foreign.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.purges("tag:category:6", "tag:product:2")
}

// TestSlotIdle has the log grow by what is nothing to the feed: the slot is advanced, and its consumer finds where it has left it.
func TestSlotIdle(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	at := confirmed(t, conn)
	do(t, conn, "create table other(t text)")
	for range 3 {
		do(t, conn, "insert into other select repeat(md5(i::text), 20) from generate_series(1, 30000) i")
	}
	until(t, func() bool { return confirmed(t, conn) != at })
	c.purgesOf(conn, "insert into product values (1, 7)", "tag:category:7", "tag:product:1")
	c.stop()
	c = consume(t, url, bySlot)
	c.purgesOf(conn, "insert into product values (2, 7)", "tag:category:7", "tag:product:2")
	if n := c.State().Failed[unknownGap.String()]; n != 0 {
		t.Errorf("%d gaps", n)
	}
}

// TestSlotTwo has two consume: one does, the other leaves changes to it, but for those of its own writes, and what the first one does not consume.
func TestSlotTwo(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	first := decode(t, url, nil)
	second := decode(t, url, func(o *Options) { o.Preferred = func() bool { return false } })
	for range 20 {
		first.purgesOf(conn, "insert into product values (1, 7); delete from product", "tag:category:7", "tag:product:1")
	}
	second.clear()
	if got := second.log.taken(); len(got) > 0 {
		t.Errorf("the second has purged %q", got)
	}
	first.stop()
	do(t, conn, "insert into product values (1, 7)")
	<-second.Woken()
	second.purges("tag:category:7", "tag:product:1")
	began := time.Now()
	second.purgesOf(conn, "insert into product values (2, 6)", "tag:category:6", "tag:product:2")
	if took := time.Since(began); took < patience {
		t.Errorf("a change was left to others for %v", took)
	}
}

// rows of all kinds of columns, and what they name.
func TestSlotValues(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	m := product()
	m.Table, m.Names, m.Columns = "kinds", &policy.Invalidates{}, nil
	values := map[string]string{
		"bool": "t", "int8": "-9223372036854775808", "numeric(5,2)": "1.50", "float8": "0.1", "text": "naïve, {\"}", "date": "2026-02-28",
		"timestamptz": "2026-02-28 23:00:00+00", "interval": "1 day 02:00:00", "bytea": `\xdeadbeef`, "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		"inet": "10.0.0.1", "int4[]": "{1,2}", "char(4)": "ab  ", "jsonb": `{"a": 1}`,
	}
	var columns, literals []string
	for kind, value := range values {
		name := "c_" + strings.NewReplacer("(", "_", ")", "", ",", "_", "[", "_", "]", "").Replace(kind)
		columns, literals = append(columns, name+" "+kind), append(literals, "'"+value+"'")
		m.Columns = append(m.Columns, name)
		tag, err := policy.ParseTemplate(kind[:3] + ":{" + name + "}")
		if err != nil {
			t.Fatal(err)
		}
		m.Names.Tags = append(m.Names.Tags, tag)
	}
	m.Identify()
	do(t, conn, "alter database postgres set datestyle = 'SQL, DMY'; alter database postgres set timezone = 'Asia/Tokyo'; alter database postgres set bytea_output = 'escape'; alter database postgres set intervalstyle = 'iso_8601'")
	do(t, conn, "create table kinds("+strings.Join(columns, ", ")+")")
	publish(t, conn, m)
	c := decode(t, url, func(o *Options) { o.Config.Mappings = []*postgres.Mapping{m} })
	var want []string
	for kind, value := range values {
		want = append(want, "tag:"+kind[:3]+":"+strings.ReplaceAll(value, ":", "%3A"))
	}
	slices.Sort(want)
	c.purgesOf(conn, "insert into kinds values ("+strings.Join(literals, ", ")+")", want...)
	c.purgesOf(conn, "delete from kinds", want...)
}

// TestSlotToast updates rows with values that are stored elsewhere, and so are not sent again.
func TestSlotToast(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	m := product()
	m.Table, m.Columns, m.Watched, m.Names = "page", []string{"id", "slug"}, []string{"body"}, &policy.Invalidates{}
	tag, err := policy.ParseTemplate("page:{id}:{slug}")
	if err != nil {
		t.Fatal(err)
	}
	m.Names.Tags = []policy.Template{tag}
	m.Identify()
	do(t, conn, "create table page(id int primary key, slug text, body text, seen int default 0); alter table page alter column body set storage external, alter column slug set storage external")
	publish(t, conn, m)
	c := decode(t, url, func(o *Options) { o.Config.Mappings = []*postgres.Mapping{m} })
	c.purgesOf(conn, "insert into page values (1, 'a', repeat('x', 10000))", "tag:page:1:a")
	c.purgesOf(conn, "update page set seen = seen + 1")
	c.purgesOf(conn, "update page set slug = 'b'", "tag:page:1:a", "tag:page:1:b")
	c.purgesOf(conn, "update page set body = repeat('y', 10000)", "tag:page:1:b")
	c.purgesOf(conn, "update page set slug = repeat('z', 5000)", "tag:table:public.page")
	c.purgesOf(conn, "update page set body = 'short'", "tag:table:public.page")                          // the slug is not sent again
	c.purgesOf(conn, "update page set slug = 'c', body = repeat('x', 2000000)", "tag:table:public.page") // longer than what is read
	do(t, conn, "alter table page replica identity default")
	c.purgesOf(conn, "update page set slug = 'd'", "tag:table:public.page") // the row before is not sent
	publish(t, conn, m)
	do(t, conn, "update page set body = 'short'")
	c.reads(conn)
	c.purgesOf(conn, "update page set slug = 'e'", "tag:page:1:d", "tag:page:1:e")
	do(t, conn, "alter table page rename slug to path")
	c.purgesOf(conn, "update page set body = 'other'", "tag:table:public.page")
}
