package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"cacheproxy/test/servers"
)

// logically is what a database of a test's own is to tell, by a slot of its own.
func (d *database) logically(mappings ...*Mapping) *Installation {
	name := one[string](d, "SELECT current_database()::text")
	d.tb.Cleanup(func() {
		_, _ = d.Exec(context.Background(), "SELECT pg_drop_replication_slot($1) FROM pg_replication_slots WHERE slot_name = $1", name)
	})
	return &Installation{Mappings: mappings, Logical: Logical{Slot: name, Publication: "Cache; --"}}
}

func (d *database) plan(want *Installation) (wrong []string) {
	d.tb.Helper()
	steps, err := want.Plan(context.Background(), d.Conn)
	if err != nil {
		d.tb.Fatal(err)
	}
	for _, s := range steps {
		if !slices.Contains(wrong, s.Wrong) {
			wrong = append(wrong, s.Wrong)
		}
	}
	return wrong
}

// TestLogicalPlan installs, finds nothing to do, and finds whatever is then not as it should be, which it mends.
func TestLogicalPlan(t *testing.T) {
	d := newDatabase(t, `CREATE TABLE product (id int PRIMARY KEY, slug text, price int); CREATE TABLE "Old; --" (id int)`,
		"CREATE TABLE log (at date, id int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)", "CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child () INHERITS (parent)")
	want := d.logically(mapping("product", "p:{id}", "s:{slug}"), mapping("Old; --", "o:{id}"), mapping("log", "l:{id}"), mapping("parent", "c:{id}"))
	install := func() {
		t.Helper()
		if _, err := want.Install(context.Background(), d.Conn); err != nil {
			t.Fatal(err)
		}
		if wrong := d.plan(want); len(wrong) > 0 {
			t.Fatalf("after an install: %q", wrong)
		}
	}
	install()
	d.do(`INSERT INTO "Old; --" VALUES (1)`, `UPDATE "Old; --" SET id = 2`) // which fails where old rows have no identity
	for _, test := range []struct{ sql, says string }{
		{"ALTER TABLE product REPLICA IDENTITY DEFAULT", `public.product sends of rows before a change columns "id" only, and the feed on line 7 needs more`},
		{`ALTER TABLE "Old; --" REPLICA IDENTITY DEFAULT`, "sends of rows before a change nothing only"},
		{`ALTER PUBLICATION "Cache; --" DROP TABLE product`, "does not have all of public.product"},
		{`ALTER PUBLICATION "Cache; --" SET (publish = 'insert')`, "does not have all that happens"},
		{`ALTER PUBLICATION "Cache; --" SET (publish_via_partition_root = true)`, "changes of partitions as if of the whole"},
		{`DROP PUBLICATION "Cache; --"`, "there is no publication Cache; --"},
		{"CREATE TABLE other (id int); ALTER PUBLICATION \"Cache; --\" ADD TABLE other", "has public.other, which no feed is about"},
		{"CREATE TABLE another () INHERITS (parent)", "does not have all of public.another"},
		{`ALTER PUBLICATION "Cache; --" DROP TABLE product; ALTER PUBLICATION "Cache; --" ADD TABLE product WHERE (price > 1)`, "does not have all of public.product"},
		{`ALTER PUBLICATION "Cache; --" DROP TABLE parent; ALTER PUBLICATION "Cache; --" ADD TABLE ONLY parent WHERE (id > 1)`, "does not have all of public.parent"},
		{"SELECT pg_drop_replication_slot('" + want.Slot + "')", "there is no slot " + want.Slot},
	} {
		d.do(test.sql)
		if wrong := d.plan(want); len(wrong) == 0 || !strings.Contains(strings.Join(wrong, "\n"), test.says) {
			t.Errorf("%s: %q, want %q", test.sql, wrong, test.says)
		}
		install()
	}
	d.do("CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
	if wrong := d.plan(want); len(wrong) > 0 {
		t.Errorf("with another partition: %q", wrong)
	}
	if warnings, err := want.Warnings(context.Background(), d.Conn); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "max_slot_wal_keep_size is -1") {
		t.Errorf("warnings %q %v", warnings, err)
	}
	if _, err := RemoveLogical(context.Background(), d.Conn, want.Logical); err != nil {
		t.Fatal(err)
	}
	if n := one[int](d, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = current_database()") + one[int](d, "SELECT count(*) FROM pg_publication"); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// TestLogicalRefused refuses tables of which logical decoding cannot tell, with the line of the configuration.
func TestLogicalRefused(t *testing.T) {
	d := newDatabase(t, "CREATE UNLOGGED TABLE u (id int PRIMARY KEY)", "CREATE VIEW v AS SELECT 1 AS id", "CREATE TABLE g (id int PRIMARY KEY, slug text GENERATED ALWAYS AS ('a') STORED)",
		"CREATE TABLE p (id int) PARTITION BY RANGE (id)")
	for table, says := range map[string]string{
		"nothing": "does not exist", "u": "UNLOGGED", "v": "is a view", "g": `has column "slug" generated`, "p": "has partitions and no primary key",
	} {
		m := mapping(table, "t:{id}")
		if table == "g" {
			m = mapping(table, "t:{slug}")
		}
		_, err := d.logically(m).Plan(context.Background(), d.Conn)
		if !errors.As(err, new(*Refusal)) || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "7: postgres.feeds: table public."+table) {
			t.Errorf("%s: %v, want %q", table, err, says)
		}
	}
	if _, err := d.logically(mapping("g", "t:{id}", "u:{nr}")).Plan(context.Background(), d.Conn); err == nil || !strings.Contains(err.Error(), `no column "nr"; it has "id", "slug"`) {
		t.Error(err)
	}
	other := newDatabase(t)
	want := other.logically(mapping("g", "t:{id}"))
	other.do("CREATE TABLE g (id int PRIMARY KEY)", "SELECT pg_create_logical_replication_slot('"+want.Slot+"', 'test_decoding')")
	if _, err := want.Plan(context.Background(), other.Conn); err == nil || !strings.Contains(err.Error(), "is of plugin test_decoding") {
		t.Error(err)
	}
	want.Mappings = []*Mapping{mapping("g", "t:{id}")}
	if _, err := want.Plan(context.Background(), d.Conn); err == nil || !strings.Contains(err.Error(), "is one of another database") {
		t.Error(err)
	}
	u := servers.Postgres(t)
	plain := &database{t, u, connect(t, u)}
	if _, err := want.Plan(context.Background(), plain.Conn); err == nil || !strings.Contains(err.Error(), "wal_level = replica; set wal_level = logical") {
		t.Error(err)
	}
}

// TestLogicalRoles installs as a role that owns the tables and has no REPLICATION, then makes the slot as one that has nothing else.
func TestLogicalRoles(t *testing.T) {
	d := newDatabase(t, "DROP ROLE IF EXISTS seller", "DROP ROLE IF EXISTS reader", "CREATE ROLE seller", "CREATE ROLE reader REPLICATION", "CREATE TABLE product (id int PRIMARY KEY)",
		"ALTER TABLE product OWNER TO seller")
	t.Cleanup(func() { d.do("DROP OWNED BY seller, reader", "DROP ROLE seller, reader") })
	want := d.logically(mapping("product", "p:{id}"))
	want.Consumer = "reader"
	seller, reader := d.session("seller"), d.session("reader")
	grant := "GRANT CREATE ON DATABASE " + identifier(one[string](d, "SELECT current_database()::text")) + " TO \"seller\""
	if _, err := want.Install(context.Background(), seller.Conn); err == nil || !strings.Contains(err.Error(), grant) {
		t.Errorf("%v\nwant %s", err, grant)
	}
	d.do(grant)
	if _, err := want.Install(context.Background(), seller.Conn); err == nil || !strings.Contains(err.Error(), "run pg install as a role with REPLICATION") {
		t.Error(err)
	}
	if _, err := want.Install(context.Background(), reader.Conn); err != nil {
		t.Fatal(err)
	}
	if wrong := reader.plan(want); len(wrong) > 0 {
		t.Errorf("left: %q", wrong)
	}
	want.Consumer = "seller"
	if wrong := reader.plan(want); len(wrong) != 1 || wrong[0] != "role seller may not read slots" {
		t.Errorf("of another consumer: %q", wrong)
	}
}

// TestLogicalAfterTriggers takes away the triggers of a configuration from before.
func TestLogicalAfterTriggers(t *testing.T) {
	d := newDatabase(t, "CREATE TABLE product (id int PRIMARY KEY)")
	m := mapping("product", "p:{id}")
	d.install(m)
	want := d.logically(m)
	if wrong := d.plan(want); len(wrong) == 0 || !strings.Contains(wrong[0], "has triggers of another configuration") {
		t.Errorf("%q", wrong)
	}
	if _, err := want.Install(context.Background(), d.Conn); err != nil {
		t.Fatal(err)
	}
	if n := one[int](d, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'product'::regclass"); n != 0 {
		t.Errorf("%d triggers", n)
	}
	if wrong := d.plan(want); len(wrong) > 0 {
		t.Errorf("left: %q", wrong)
	}
}

// oddNames are names of columns that PostgreSQL, JSON and Go write with different escapes, or that look like the text
// between two names in a list.
var oddNames = []string{"a<b>&c", "line\u2028para\u2029", ", ", `q"uote`, `back\slash`, "new\nline\ttab\r\b\f\v", "\x01\x1f\x7f", "Größe", "😀", "Upper",
	"$1", "%s", "[", "null", "{a,b}", "'", `"`, `\`, `\u003c`}

// TestLogicalOddColumns installs a feed of columns with odd names, finds nothing to do afterwards, and finds each
// column that the publication does not send.
func TestLogicalOddColumns(t *testing.T) {
	d := newDatabase(t, "CREATE TABLE product (id int PRIMARY KEY, "+joined(oddNames, ", ", func(name string) string { return identifier(name) + " text" })+")")
	m := mapping("product", "p:{id}").watching(oddNames...)
	want := d.logically(m)
	if _, err := want.Install(context.Background(), d.Conn); err != nil {
		t.Fatal(err)
	}
	if wrong := d.plan(want); len(wrong) > 0 {
		t.Errorf("after an install: %q", wrong)
	}
	gap := func(of *Mapping) string {
		t.Helper()
		told, err := ReadTold(context.Background(), d.Conn, want.Publication, []*Mapping{of})
		if err != nil {
			t.Fatal(err)
		}
		return told[of.ID].Gap
	}
	for i, name := range oddNames {
		of := mapping("product", "p:{id}").watching(name)
		if got := gap(of); got != "" {
			t.Errorf("column %q is sent: %q", name, got)
		}
		if one[int](d, "SELECT current_setting('server_version_num')::int") < 150000 {
			continue // no lists of columns
		}
		others := append([]string{"id"}, slices.Delete(slices.Clone(oddNames), i, i+1)...)
		d.do(`ALTER PUBLICATION "Cache; --" SET TABLE product (` + joined(others, ", ", identifier) + ")")
		if got := gap(of); got != "publication Cache; -- does not have all of public.product" {
			t.Errorf("column %q is not sent: %q", name, got)
		}
		d.do(`ALTER PUBLICATION "Cache; --" SET TABLE product`)
	}
}
