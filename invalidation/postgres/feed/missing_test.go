package feed

import (
	"context"
	"slices"
	"testing"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/test/servers"
)

// TestTriggersTakenAway takes from a feed that runs what tells it of changes, in all the ways that leave cacheproxy.marker as it is: it is
// blind until that is mended, and has the table's copies confirmed before it sees again, whoever mends it.
func TestTriggersTakenAway(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	c := consume(t, url, nil)
	c.clear()
	if c.Blind(time.Now(), time.Hour) || len(c.log.taken()) > 0 {
		t.Fatalf("state %+v", c.State())
	}
	var triggers []string
	if err := conn.QueryRow(context.Background(), "select array_agg(pg_get_triggerdef(oid)) from pg_trigger where tgrelid = 'product'::regclass").Scan(&triggers); err != nil {
		t.Fatal(err)
	}
	const exchange = "drop table product; create table product(id int primary key, category int not null default 0, name text); insert into product values (1, 2)"
	install := func() {
		if _, err := (&postgres.Installation{Mappings: []*postgres.Mapping{product()}}).Install(context.Background(), conn); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		take []string
		mend func()
	}{
		{"disabled, and enabled by hand", []string{"alter table product disable trigger user", "insert into product values (1, 7)"}, func() { do(t, conn, "alter table product enable trigger user") }},
		{"functions dropped", []string{"do $$ declare f regprocedure; begin for f in select oid from pg_proc where proname like 'changed_%' loop execute 'drop function ' || f || ' cascade'; end loop; end $$"}, install},
		{"another table", []string{exchange}, install},
		{"another table with the same triggers", append([]string{"begin", exchange}, append(triggers, "commit")...), install},
		{"renamed", []string{"alter table product rename to p"}, func() { do(t, conn, "alter table p rename to product") }},
	} {
		for _, sql := range test.take {
			do(t, conn, sql)
		}
		until(t, func() bool { return c.Blind(time.Now(), time.Hour) })
		if s := c.State(); s.Missing != 1 || !s.Up {
			t.Errorf("%s: state %+v", test.name, s)
		}
		c.log.taken()
		test.mend()
		until(t, func() bool { return !c.Blind(time.Now(), time.Hour) })
		if got := c.log.taken(); !slices.Contains(got, "confirm tag:table:public.product") {
			t.Errorf("%s: sees again, and has purged %q", test.name, got)
		}
		do(t, conn, "delete from product")
		do(t, conn, "insert into product values (5, 6)")
		until(t, func() bool { return rows(t, conn) == 0 })
		if got := c.log.taken(); !slices.Contains(got, "tag:product:5") {
			t.Errorf("%s: then purged %q", test.name, got)
		}
	}
}

// TestMendedMeanwhile mends a table while there is no connection: what is known of it outlives the connection.
func TestMendedMeanwhile(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	c := consume(t, url, nil)
	do(t, conn, "alter table product disable trigger user")
	until(t, func() bool { return c.State().Missing == 1 })
	c.log.fail.Store(true)
	do(t, conn, "alter table product enable trigger user")
	do(t, conn, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'")
	until(t, func() bool { return c.State().Failed[unconfirmed.String()] > 0 })
	if c.State().Missing != 1 {
		t.Error("sees again before the purge holds")
	}
	c.log.fail.Store(false)
	c.purges("confirm tag:table:public.product")
	until(t, func() bool { return !c.Blind(time.Now(), time.Hour) })
}

// A database in which nothing is installed, or no more, makes the feed blind at once, and says what to run.
func TestNothingInstalled(t *testing.T) {
	url := servers.Postgres(t)
	conn := dial(t, url)
	c := consume(t, url, nil)
	until(t, func() bool { return c.Blind(time.Now(), time.Hour) })
	if s := c.State(); s.Missing != 1 || s.Up || s.Failed[notInstalled.String()] == 0 {
		t.Errorf("state %+v", s)
	}
	install(t, conn, product())
	until(t, func() bool { return !c.Blind(time.Now(), time.Hour) })
	c.purges("confirm tag:table:public.product")
	do(t, conn, "drop schema cacheproxy cascade")
	until(t, func() bool { return c.Blind(time.Now(), time.Hour) })
	if s := c.State(); s.Missing != 1 {
		t.Errorf("state %+v", s)
	}
}
