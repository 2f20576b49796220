package feed

import (
	"context"
	"strings"
	"testing"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"
	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

// TestEncoding reads names and values from a database that is not encoded in UTF-8, by triggers and by a slot.
func TestEncoding(t *testing.T) {
	server := servers.Postgres(t, "wal_level=logical", "synchronous_commit=on")
	do(t, dial(t, server), "create database latin encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'")
	url := strings.Replace(server, "/postgres?", "/latin?", 1)
	c, err := postgres.ParseURL(url, "")
	if err != nil {
		t.Fatal(err)
	}
	postgres.InUTF8(c)
	conn, err := pgx.ConnectConfig(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tag, err := policy.ParseTemplate("maß:{größe}")
	if err != nil {
		t.Fatal(err)
	}
	m := &postgres.Mapping{
		Schema: "public", Table: "maße", Names: &policy.Invalidates{Tags: []policy.Template{tag}}, Columns: []string{"größe"},
		On: []postgres.Event{postgres.Insert, postgres.Update, postgres.Delete, postgres.Truncate},
	}
	m.Identify()
	do(t, conn, `create table "maße"("größe" text primary key)`)
	for _, by := range []postgres.Logical{{}, logical} {
		want := &postgres.Installation{Mappings: []*postgres.Mapping{m}, Logical: by}
		if _, err := want.Install(context.Background(), conn); err != nil {
			t.Fatal(err)
		}
		if steps, err := want.Plan(context.Background(), conn); err != nil || len(steps) > 0 {
			t.Errorf("after an install: %v %v", steps, err)
		}
		c := consume(t, url, func(o *Options) { o.Config.Mappings, o.Config.Logical = []*postgres.Mapping{m}, by })
		sees(t, c)
		c.log.taken()
		c.purgesOf(conn, `insert into "maße" values ('für Ä')`, "tag:maß:für Ä")
		c.purgesOf(conn, `truncate "maße"`, "tag:table:public.maße")
		c.stop()
		do(t, conn, `insert into "maße" values ('ß')`)
		c = consume(t, url, func(o *Options) { o.Config.Mappings, o.Config.Logical = []*postgres.Mapping{m}, by })
		c.purges("tag:maß:ß") // and nothing else: the milestone of the consumer before leaves no gap
		sees(t, c)
		if n := c.State().Failed[unknownGap.String()]; n > 0 {
			t.Errorf("%d gaps after a consumer has ended", n)
		}
		c.stop()
		if by.Slot != "" { // an install between two consumers writes that changes went untold
			do(t, conn, `alter publication cacheproxy drop table "maße"`)
			do(t, conn, `insert into "maße" values ('ö')`)
			publish(t, conn, m)
			c = consume(t, url, func(o *Options) { o.Config.Mappings, o.Config.Logical = []*postgres.Mapping{m}, by })
			c.purges("confirm tag:table:public.maße")
			c.stop()
		}
	}
}
