package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Installing again changes nothing; what is wrong is said, and mended by the next install.
func TestInstall(t *testing.T) {
	d := newDatabase(t, product)
	m := mapping("product", "p:{id}").watching("price")
	want := &Installation{Mappings: []*Mapping{m}}
	steps, err := want.Install(context.Background(), d.Conn)
	if err != nil || len(steps) == 0 {
		t.Fatal(steps, err)
	}
	if got := d.taken(); len(got) != 1 || got[0] != "installed" {
		t.Errorf("what has changed before is told by %q", got)
	}
	d.clean(m)
	name := "cacheproxy_" + m.digest() + "_update"
	function := "cacheproxy.changed_" + m.digest() + "_update"
	for _, wrong := range []struct{ sql, says string }{
		{"DROP TRIGGER " + name + " ON product", "public.product has no trigger " + name},
		{"ALTER TABLE product DISABLE TRIGGER " + name, "trigger " + name + " of public.product is disabled"},
		{"ALTER TABLE product DISABLE TRIGGER ALL", "is disabled"},
		{"ALTER TABLE product ENABLE REPLICA TRIGGER " + name, "is enabled for replication only"},
		{"ALTER TRIGGER " + name + " ON product RENAME TO other", "trigger other of public.product is not as install makes it"},
		{"DROP TRIGGER " + name + " ON product; CREATE TRIGGER " + name + " AFTER UPDATE ON product FOR EACH STATEMENT EXECUTE FUNCTION " + function + "()", "is not as install makes it"},
		{"DROP FUNCTION " + function + "() CASCADE", "public.product has no function"},
		{"CREATE OR REPLACE FUNCTION " + function + "() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END'", "is not as this configuration and program have it"},
		{"ALTER FUNCTION " + function + "() SECURITY INVOKER", "is not as this configuration and program have it"},
		{"ALTER FUNCTION " + function + "() RESET search_path", "is not as this configuration and program have it"},
		{"ALTER FUNCTION " + function + "() SET timezone = 'Asia/Tokyo'", "is not as this configuration and program have it"},
		{"GRANT EXECUTE ON FUNCTION " + function + "() TO public", "can be used in triggers of anybody"},
		{"ALTER TABLE product DROP CONSTRAINT product_pkey, ADD PRIMARY KEY (id, slug)", "is not as this configuration and program have it"},
		{"DELETE FROM cacheproxy.marker", "has no marker"},
		{"DROP SEQUENCE cacheproxy." + m.owed(), "has no sequence"},
		{"UPDATE cacheproxy.marker SET lossy = true", "has another on_error"},
	} {
		d.do(wrong.sql)
		d.lacks(wrong.says, m)
		d.install(m)
		d.clean(m)
		d.do("DELETE FROM product")
		d.taken()
		d.expect([]string{"1", "1"}, "INSERT INTO product VALUES (1, 'a', 1)", "UPDATE product SET price = 2")
	}
}

// Whatever has become of the relations that all mappings share is said, and mended by the next install; then changes are told again.
func TestShape(t *testing.T) {
	d := newDatabase(t, product, "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
	stranger := "stranger_" + one[string](d, "SELECT current_database()::text")
	d.do("CREATE ROLE " + stranger)
	m := mapping("product", "p:{id}")
	want := &Installation{Mappings: []*Mapping{m}, Consumer: stranger}
	const outbox = "ALTER TABLE cacheproxy.outbox "
	for _, wrong := range []struct{ sql, says string }{
		{outbox + "ENABLE ROW LEVEL SECURITY", "row security is on"},
		{outbox + "FORCE ROW LEVEL SECURITY", "row security is forced"},
		{"ALTER TABLE cacheproxy.marker ENABLE ROW LEVEL SECURITY", "cacheproxy.marker: install does not make: row security is on"},
		{"CREATE POLICY p ON cacheproxy.outbox USING (false)", "policy p"},
		{outbox + "SET UNLOGGED", "is an unlogged table"},
		{"CREATE RULE r AS ON INSERT TO cacheproxy.outbox DO INSTEAD NOTHING", "rule r"},
		{"CREATE TRIGGER eat BEFORE INSERT ON cacheproxy.outbox FOR EACH ROW EXECUTE FUNCTION nothing()", "trigger eat"},
		{outbox + "ADD CHECK (id < 0) NOT VALID", "constraint CHECK ((id < 0)) NOT VALID"},
		{outbox + "DROP CONSTRAINT outbox_pkey", "it lacks: constraint PRIMARY KEY (xid, id)"},
		{"CREATE INDEX ON cacheproxy.outbox (at)", "index btree (at)"},
		{outbox + "ADD COLUMN extra int NOT NULL DEFAULT 1", "column extra"},
		{outbox + "ALTER xid DROP DEFAULT", "column xid"},
		{outbox + "ALTER at DROP DEFAULT", "column at"},
		{outbox + "ALTER mapping DROP NOT NULL", "column mapping"},
		{outbox + "ALTER tuples TYPE varchar[]", "column tuples"},
		{outbox + "OWNER TO " + stranger, "its owner is " + stranger},
		{"GRANT INSERT ON cacheproxy.outbox TO " + stranger, "role " + stranger + " has INSERT on cacheproxy.outbox"},
		{"GRANT TRUNCATE ON cacheproxy.marker TO PUBLIC", "everybody has TRUNCATE on cacheproxy.marker"},
		{"GRANT DELETE ON cacheproxy.outbox TO PUBLIC", "everybody has DELETE on cacheproxy.outbox"},
		{"ALTER SEQUENCE cacheproxy.outbox_id_seq INCREMENT -1 MINVALUE -5", "by -1"},
		{"ALTER SEQUENCE cacheproxy.consumed MAXVALUE 10 CYCLE", "to 10 by 1, and again"},
		{"ALTER SEQUENCE cacheproxy." + m.owed() + " MAXVALUE 5", "to 5"},
		{"DELETE FROM cacheproxy.installation", "has not one row"},
		{"INSERT INTO cacheproxy.installation VALUES (1, true)", "has not one row"},
	} {
		d.installAs(want)
		d.do(wrong.sql)
		d.lacks(wrong.says, m)
		d.installAs(want)
		if steps, err := want.Plan(context.Background(), d.Conn); err != nil || len(steps) > 0 {
			t.Fatalf("%s: %v %v", wrong.sql, steps, err)
		}
		d.do("DELETE FROM product")
		d.taken()
		d.expect([]string{"1"}, "INSERT INTO product VALUES (1, 'a', 1)")
	}
	// Whatever the state, it can be taken away.
	d.do("DELETE FROM cacheproxy.installation")
	if _, err := Remove(context.Background(), d.Conn); err != nil {
		t.Error(err)
	}
	d.do("DROP ROLE " + stranger)
}

// Another mapping of the same table takes the place of the one before, and nothing is lost between them.
func TestReplaceMapping(t *testing.T) {
	d := newDatabase(t, product)
	old, next := mapping("product", "p:{id}"), mapping("product", "s:{slug}")
	d.install(old)
	d.do("INSERT INTO product VALUES (1, 'a')")
	if _, err := (&Installation{Mappings: []*Mapping{next}}).Install(context.Background(), d.Conn); err != nil {
		t.Fatal(err)
	}
	if got := d.taken(); fmt.Sprint(got) != "[1 removed installed]" {
		t.Errorf("%q", got)
	}
	d.expect([]string{"b"}, "INSERT INTO product VALUES (2, 'b')")
	d.clean(next)
	if members, whole := Resolve([]*Mapping{next}, old.ID, 1, []*string{new(string)}); !whole || members[0] != "ttable:public.product" {
		t.Errorf("a row of the mapping before names %q", members)
	}
}

// What cannot be installed is refused, with the line of the configuration, and nothing is done.
func TestRefused(t *testing.T) {
	d := newDatabase(t, product, "CREATE VIEW seen AS SELECT * FROM product", "CREATE TABLE keyless (id int)", "CREATE EXTENSION postgres_fdw",
		"CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw", "CREATE FOREIGN TABLE away (id int) SERVER far",
		"CREATE UNLOGGED TABLE loose (id int)", "CREATE TABLE parent (id int)", "CREATE FOREIGN TABLE child () INHERITS (parent) SERVER far")
	for _, refused := range []struct {
		m    *Mapping
		says string
	}{
		{mapping("nothing", "p:{id}"), "table public.nothing does not exist"},
		{mapping("Product", "p:{id}"), "table public.Product does not exist"},
		{mapping("product", "p:{nr}"), `table public.product has no column "nr"; it has "id", "slug", "price", "note"`},
		{mapping("product", "p:{id}").watching("cost"), `has no column "cost"`},
		{mapping("seen", "p:{id}"), "is a view"},
		{mapping("away", "p:{id}"), "is not a table that PostgreSQL keeps"},
		{mapping("parent", "p:{id}"), "has the foreign table public.child"},
		{mapping("loose", "p:{id}"), "has its rows in the UNLOGGED table public.loose"},
		{mapping("keyless", "p:{id}").watching("id"), "has no primary key"},
	} {
		_, err := (&Installation{Mappings: []*Mapping{mapping("product", "p:{id}"), refused.m}}).Install(context.Background(), d.Conn)
		if err == nil || !strings.Contains(err.Error(), refused.says) || !strings.HasPrefix(err.Error(), "7: ") || !errors.As(err, new(*Refusal)) {
			t.Errorf("want %q, got %v", refused.says, err)
		}
	}
	if one[bool](d, "SELECT to_regnamespace('cacheproxy') IS NOT NULL") {
		t.Error("what was refused has left something behind")
	}
}

// A mapping of which the table has gone, or an installation that a later program has made, is told and left alone.
func TestForeignInstallation(t *testing.T) {
	d := newDatabase(t, product)
	m := mapping("product", "p:{id}")
	d.install(m)
	d.do("UPDATE cacheproxy.installation SET version = version + 1")
	if _, err := (&Installation{Mappings: []*Mapping{m}}).Plan(context.Background(), d.Conn); err == nil || !strings.Contains(err.Error(), "use the program that has installed it") {
		t.Errorf("a later version: %v", err)
	}
	d.do("UPDATE cacheproxy.installation SET version = version - 1", "DROP TABLE cacheproxy.outbox CASCADE")
	if _, err := (&Installation{Mappings: []*Mapping{m}}).Plan(context.Background(), d.Conn); err == nil || !strings.Contains(err.Error(), "cacheproxy.outbox is missing") {
		t.Errorf("without its outbox: %v", err)
	}
}

// Uninstalling takes away what install has made, and nothing else.
func TestRemove(t *testing.T) {
	d := newDatabase(t, product, "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
		"CREATE TRIGGER own AFTER INSERT ON product EXECUTE FUNCTION own()")
	catalog := func() string {
		return one[string](d, `SELECT string_agg(x, ' ' ORDER BY x) FROM (SELECT 'class ' || oid::regclass FROM pg_class WHERE relnamespace::regnamespace::text !~ '^pg_'
			UNION ALL SELECT 'proc ' || oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^pg_'
			UNION ALL SELECT 'trigger ' || tgname || tgrelid::regclass FROM pg_trigger UNION ALL SELECT 'schema ' || nspname FROM pg_namespace) v(x)`)
	}
	before := catalog()
	for range 2 {
		d.install(mapping("product", "p:{id}"), mapping("product", "s:{slug}"))
		d.do("CREATE TABLE cacheproxy.mine ()")
		if _, err := Remove(context.Background(), d.Conn); err != nil {
			t.Fatal(err)
		}
		d.do("DROP TABLE cacheproxy.mine") // of somebody else, and left with its schema
		if steps, err := Remove(context.Background(), d.Conn); err != nil || len(steps) != 1 {
			t.Fatal(steps, err)
		}
		if after := catalog(); after != before {
			t.Errorf("before %s\nafter %s", before, after)
		}
		if steps, err := Remove(context.Background(), d.Conn); err != nil || len(steps) != 0 {
			t.Fatal(steps, err)
		}
	}
}

// Whoever may not install is told what has to be granted.
func TestMissingGrants(t *testing.T) {
	d := newDatabase(t, product, "CREATE TABLE schema (id int PRIMARY KEY)", `CREATE SCHEMA "A.""."" b" CREATE TABLE hidden (id int PRIMARY KEY)`)
	name := one[string](d, "SELECT current_database()::text")
	installer := "grantless_" + name
	d.do("CREATE ROLE " + installer + " LOGIN")
	hidden := mapping("hidden", "h:{id}")
	hidden.Schema = `A."." b`
	hidden.Identify()
	want := &Installation{Mappings: []*Mapping{mapping("schema", "s:{id}"), mapping("product", "p:{id}"), hidden}}
	for _, grant := range []string{
		"CREATE ON DATABASE " + identifier(name), `TRIGGER ON "public"."schema", "public"."product", "A.""."" b"."hidden"`, `USAGE ON SCHEMA "A.""."" b"`,
	} {
		_, err := want.Install(context.Background(), d.session(installer).Conn)
		if says := "GRANT " + grant + " TO " + identifier(installer); err == nil || !strings.Contains(err.Error(), says) {
			t.Fatalf("%v\nwant %s", err, says)
		}
		d.do("GRANT " + grant + " TO " + identifier(installer))
	}
	if _, err := want.Install(context.Background(), d.session(installer).Conn); err != nil {
		t.Error(err)
	}
}

// Each role has what it needs, and no more: who installs owns no table, who changes rows sees nothing of the outbox, who consumes sees
// no table.
func TestLeastPrivilege(t *testing.T) {
	d := newDatabase(t, product, "REVOKE ALL ON SCHEMA public FROM public", "GRANT USAGE ON SCHEMA public TO public")
	suffix := one[string](d, "SELECT current_database()::text")
	installer, app, consumer := "installer_"+suffix, "app_"+suffix, "consumer \""+suffix
	for _, role := range []string{installer, app, consumer} {
		d.do("CREATE ROLE " + identifier(role) + " LOGIN")
	}
	d.do("GRANT CREATE ON DATABASE "+suffix+" TO "+identifier(installer), "GRANT TRIGGER ON product TO "+identifier(installer),
		"GRANT INSERT, UPDATE, DELETE, TRUNCATE, SELECT ON product TO "+identifier(app))
	m := mapping("product", "p:{id}").watching("price")
	want := &Installation{Mappings: []*Mapping{m}, Consumer: consumer, limit: 5}
	asInstaller, asApp, asConsumer := d.session(installer), d.session(app), d.session(consumer)
	asInstaller.installAs(want)
	if steps, err := want.Plan(context.Background(), asConsumer.Conn); err != nil || len(steps) > 0 {
		t.Errorf("to the consumer: %v %v", steps, err)
	}
	if gap := asConsumer.gap(m); gap != "" {
		t.Errorf("to the consumer: %s", gap)
	}

	asApp.do("INSERT INTO product VALUES (1, 'a', 1)", "UPDATE product SET price = 2", "TRUNCATE product")
	asConsumer.expect([]string{"1", "1", "truncate"})
	for i := range 12 {
		asApp.do(fmt.Sprintf("INSERT INTO product VALUES (%d)", i))
	}
	asConsumer.consumed()
	if !asConsumer.isOwed(m) || !asConsumer.settle(m) {
		t.Error("the consumer cannot consume what is owed")
	}
	one[int64](asConsumer, "SELECT last_value FROM cacheproxy.lost")

	for _, refused := range []struct {
		as  *database
		sql string
	}{
		{asApp, "SELECT * FROM cacheproxy.outbox"},
		{asApp, "DELETE FROM cacheproxy.outbox"},
		{asApp, "SELECT * FROM cacheproxy.marker"},
		{asApp, "SELECT setval('cacheproxy.consumed', 1)"},
		{asConsumer, "SELECT * FROM product"},
		{asConsumer, "INSERT INTO cacheproxy.outbox (mapping, width) VALUES ('x', 0)"},
		{asConsumer, "TRUNCATE cacheproxy.outbox"},
		{asConsumer, "DELETE FROM cacheproxy.marker"},
		{asConsumer, "DELETE FROM cacheproxy.covered"},
		{asConsumer, "CREATE TABLE cacheproxy.mine ()"},
		{asConsumer, "UPDATE cacheproxy.installation SET version = 0"},
		{asConsumer, "CREATE TEMPORARY TABLE mine (id int); CREATE TRIGGER t AFTER INSERT ON mine EXECUTE FUNCTION cacheproxy.changed_" + m.digest() + "_truncate()"},
		{asInstaller, "SELECT * FROM product"},
	} {
		var pg *pgconn.PgError
		if _, err := refused.as.Exec(context.Background(), refused.sql, simple); !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v", refused.sql, err)
		}
	}

	d.do("REVOKE DELETE ON cacheproxy.outbox FROM " + identifier(consumer))
	if steps, err := want.Plan(context.Background(), asConsumer.Conn); err != nil || len(steps) != 1 || !strings.Contains(steps[0].Wrong, "lacks DELETE ON TABLE") {
		t.Errorf("to the consumer: %v %v", steps, err)
	}
	d.do("REVOKE USAGE ON SCHEMA cacheproxy FROM " + identifier(consumer))
	if _, err := want.Plan(context.Background(), asConsumer.Conn); err == nil || !strings.Contains(err.Error(), "pg install") {
		t.Errorf("to the consumer without any: %v", err)
	}
	if _, err := want.Install(context.Background(), asInstaller.Conn); err != nil {
		t.Fatal(err)
	}
	d.do("REVOKE INSERT ON cacheproxy.outbox FROM " + identifier(installer))
	if steps, err := want.Plan(context.Background(), asConsumer.Conn); err != nil || len(steps) == 0 || !strings.Contains(steps[0].Wrong, "may not write to cacheproxy.outbox") {
		t.Errorf("of a writer: %v %v", steps, err)
	}
	if _, err := Remove(context.Background(), asConsumer.Conn); err == nil || !strings.Contains(err.Error(), "run pg uninstall as the role that has installed") {
		t.Errorf("of the consumer: %v", err)
	}
	if _, err := Remove(context.Background(), asInstaller.Conn); err != nil {
		t.Error(err)
	}
	d.do("DROP OWNED BY "+identifier(installer)+", "+identifier(app)+", "+identifier(consumer), "DROP ROLE "+identifier(installer)+", "+identifier(app)+", "+identifier(consumer))
}

// An install waits for who changes the table, but not for long: everybody would wait behind it.
func TestInstallDoesNotHoldUp(t *testing.T) {
	d := newDatabase(t, product)
	writer := d.session("")
	writer.do("BEGIN", "INSERT INTO product VALUES (1)")
	_, err := (&Installation{Mappings: []*Mapping{mapping("product", "p:{id}")}}).Install(context.Background(), d.Conn)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "55P03" {
		t.Errorf("while somebody writes: %v", err)
	}
}

// What an install waits for in one place after another adds up to no more, and whoever wants what it has meanwhile waits no longer. Where
// the holders end, a later attempt installs.
func TestInstallWaitsInAll(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	var tables []string
	var mappings []*Mapping
	for _, name := range append([]string{"free"}, names...) {
		tables = append(tables, "CREATE TABLE "+name+" (id int PRIMARY KEY)")
		mappings = append(mappings, mapping(name, name+":{id}"))
	}
	d := newDatabase(t, tables...)
	var holders sync.WaitGroup
	hold := func(each time.Duration) {
		for i, name := range names {
			holder := d.session("")
			holder.do("BEGIN", "INSERT INTO "+name+" VALUES (1)")
			holders.Go(func() {
				holder.do(fmt.Sprintf("SELECT pg_sleep(%g)", (time.Duration(i+1) * each).Seconds()))
				holder.do("ROLLBACK")
			})
		}
	}
	hold(1900 * time.Millisecond)
	installs := make(chan error, 1)
	installer, writer := d.session(""), d.session("")
	var began, ended time.Time
	go func() {
		began = time.Now()
		_, err := (&Installation{Mappings: mappings}).Install(context.Background(), installer.Conn)
		ended = time.Now()
		installs <- err
	}()
	most := time.Duration(0)
	for done := false; !done; {
		before := time.Now()
		writer.do("BEGIN", "INSERT INTO free VALUES (1)", "ROLLBACK", "SELECT pg_sleep(0.005)")
		most = max(most, time.Since(before))
		select {
		case err := <-installs:
			installs <- err
			done = true
		default:
		}
	}
	if err := <-installs; !inTheWay(err) || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("while they write: %v", err)
	}
	if took := ended.Sub(began); took > 7*time.Second || most > 3*time.Second {
		t.Errorf("an install that gives up has taken %s, and a writer has waited %s", took, most)
	}
	holders.Wait()
	hold(300 * time.Millisecond)
	if _, err := (&Installation{Mappings: mappings}).Install(context.Background(), d.Conn); err != nil {
		t.Error(err)
	}
	holders.Wait()
}

// Nothing is left in a session, which through a pooler is another one for each transaction: no prepared statement, no setting.
func TestThroughPooler(t *testing.T) {
	for _, mode := range []string{"", "exec", "simple_protocol", "cache_statement"} {
		d := newDatabase(t, product)
		url := d.url
		if mode != "" {
			url += "&default_query_exec_mode=" + mode
		}
		conn := connect(t, url)
		want := &Installation{Mappings: []*Mapping{mapping("product", "p:{id}").watching("price")}, Consumer: "postgres"}
		for range 2 {
			if _, err := want.Install(context.Background(), conn); err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
		}
		if steps, err := want.Plan(context.Background(), conn); err != nil || len(steps) > 0 {
			t.Errorf("%s: %v %v", mode, steps, err)
		}
		s := &database{tb: t, Conn: conn}
		if left := one[int](s, "SELECT count(*)::int FROM pg_prepared_statements") + one[int](s, "SELECT count(*)::int FROM pg_settings WHERE source = 'session'"); left != 0 {
			t.Errorf("%s: %d things are left in the session", mode, left)
		}
		if _, err := Remove(context.Background(), conn); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}
