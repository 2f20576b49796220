package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const product = `CREATE TABLE product (id int PRIMARY KEY, slug text, price numeric, note text)`

// Each statement tells of the rows before and after it, in one row of the outbox.
func TestStatements(t *testing.T) {
	d := newDatabase(t, product)
	d.install(mapping("product", "p:{id}", "s:{slug}"))
	d.expect([]string{"1|a 2|NULL"}, "INSERT INTO product VALUES (1, 'a', 1), (2, NULL, 1)")
	d.expect([]string{"1|a 1|b"}, "UPDATE product SET slug = 'b' WHERE id = 1")
	d.expect([]string{"1|b 9|b"}, "UPDATE product SET id = 9 WHERE id = 1")
	d.expect([]string{"2|NULL 9|b"}, "UPDATE product SET price = price") // touched, and nothing says which columns matter
	d.expect([]string{"3|c"}, "INSERT INTO product VALUES (3, 'c') ON CONFLICT DO NOTHING")
	d.expect(nil, "INSERT INTO product VALUES (3, 'd') ON CONFLICT DO NOTHING")
	d.expect([]string{"3|c 3|d", "4|e"}, "INSERT INTO product VALUES (3, 'd'), (4, 'e') ON CONFLICT (id) DO UPDATE SET slug = excluded.slug")
	d.expect([]string{"3|d", "4|e 4|n", "5|m"}, `MERGE INTO product p USING (VALUES (3, 'x'), (4, 'n'), (5, 'm')) v(id, slug) ON p.id = v.id
		WHEN MATCHED AND v.id = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET slug = v.slug WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.slug)`)
	d.expect([]string{"5|m"}, "WITH gone AS (DELETE FROM product WHERE id = 5 RETURNING *) SELECT * FROM gone")
	d.expect([]string{"truncate"}, "TRUNCATE product")
	d.expect(nil, "DELETE FROM product", "UPDATE product SET slug = 'x'")
	d.expect(nil, "BEGIN", "INSERT INTO product VALUES (7, 'x')", "ROLLBACK")
	d.expect([]string{"8|x"}, "BEGIN", "SAVEPOINT s", "INSERT INTO product VALUES (7, 'x')", "ROLLBACK TO s", "INSERT INTO product VALUES (8, 'x')", "COMMIT")
	if _, err := d.PgConn().CopyFrom(context.Background(), strings.NewReader("30\tc1\n31\tc2\n"), "COPY product (id, slug) FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	d.expect([]string{"30|c1 31|c2"})
	d.expect([]string{"bulk"}, "INSERT INTO product SELECT i, 'b' || i FROM generate_series(100, 1100) i")
	d.expect([]string{"bulk"}, "DELETE FROM product WHERE id >= 100")
	d.do("INSERT INTO product SELECT i, 'b' || i FROM generate_series(1, 1000) i ON CONFLICT DO NOTHING")
	if rows := d.taken(); len(rows) != 1 || strings.Count(rows[0], "|") < 990 {
		t.Errorf("a thousand tuples: %d rows", len(rows))
	}
}

// A composite value of which each part is NULL is not NULL.
func TestCompositeNulls(t *testing.T) {
	d := newDatabase(t, "CREATE TYPE pair AS (a int, b int)", "CREATE TABLE product (id int PRIMARY KEY, c pair, note text)", "INSERT INTO product VALUES (1)")
	d.install(mapping("product", "p:{id}", "c:{c}").watching("c"))
	d.expect([]string{"1|(,) 1|NULL"}, "UPDATE product SET c = ROW(NULL, NULL)")
	d.expect(nil, "UPDATE product SET note = 'x'")
	d.expect([]string{"1|(,) 1|(1,)"}, "UPDATE product SET c = ROW(1, NULL)")
	d.expect([]string{"1|(1,) 1|NULL"}, "UPDATE product SET c = NULL")
}

// The values of one row of the outbox are no more than maxBytes.
func TestMuch(t *testing.T) {
	d := newDatabase(t, product)
	d.install(mapping("product", "p:{id}", "s:{slug}"))
	insert := func(n int) {
		d.do(fmt.Sprintf("INSERT INTO product SELECT i, repeat('x', 1000) || i FROM generate_series(1, %d) i", n))
	}
	if insert(100); strings.Count(d.taken()[0], "|") != 100 {
		t.Error("a hundred tuples of a thousand bytes are not told")
	}
	d.do("ALTER TABLE product DROP CONSTRAINT product_pkey")
	insert(140)
	d.expect([]string{"long"})
}

// A mapping of names without columns has one empty tuple.
func TestConstantNames(t *testing.T) {
	d := newDatabase(t, product)
	m := mapping("product", "product-list").watching("price")
	d.install(m)
	d.expect([]string{"()"}, "INSERT INTO product VALUES (1, 'a', 1), (2, 'b', 1)")
	d.expect([]string{"()"}, "UPDATE product SET price = 2 WHERE id = 1")
	d.expect(nil, "UPDATE product SET slug = 'x'")
	if members, whole := Resolve([]*Mapping{m}, m.ID, 0, []*string{}); whole || len(members) != 1 || members[0] != "tproduct-list" {
		t.Errorf("%q %v", members, whole)
	}
}

// With columns, an update counts for the rows in which one of them, or of those in names, has changed, byte by byte.
func TestWatchedColumns(t *testing.T) {
	d := newDatabase(t, product, "ALTER TABLE product DROP CONSTRAINT product_pkey, ADD PRIMARY KEY (id) DEFERRABLE", `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
		`ALTER TABLE product ADD name text COLLATE nocase, ADD doc json`,
		`INSERT INTO product VALUES (1, 'a', 1.0, 'n', 'x', '{"a":1}'), (2, 'b', NULL, 'n', 'y', NULL)`)
	d.install(mapping("product", "s:{slug}").watching("price", "name", "doc"))
	d.expect(nil, "UPDATE product SET note = 'other'", "UPDATE product SET price = price, name = name, doc = doc")
	d.expect([]string{"a"}, "UPDATE product SET price = 2 WHERE true AND id = 1")
	d.expect([]string{"b"}, "UPDATE product SET price = 2")                                     // of NULL; the other is 2 already
	d.expect([]string{"a"}, "UPDATE product SET price = 2.00 WHERE id = 1")                     // another text
	d.expect([]string{"a"}, "UPDATE product SET name = 'X' WHERE id = 1")                       // equal by its collation
	d.expect([]string{"a"}, `UPDATE product SET doc = '{"a":2}' WHERE id = 1`)                  // of a type without equality
	d.expect([]string{"a c"}, "UPDATE product SET slug = 'c' WHERE id = 1")                     // in a name
	d.expect([]string{"b c"}, "UPDATE product SET slug = CASE id WHEN 1 THEN 'b' ELSE 'c' END") // swapped
	d.expect([]string{"b c"}, "UPDATE product SET id = 3 - id")                                 // swapped by their keys
	d.expect([]string{"b"}, "UPDATE product SET id = 7 WHERE slug = 'b'")                       // another key
	d.do("UPDATE product SET price = 1, name = 'n', doc = NULL")
	d.taken()
	d.expect([]string{"b c"}, "UPDATE product SET slug = CASE slug WHEN 'b' THEN 'c' ELSE 'b' END") // swapped, and otherwise alike
	d.do("UPDATE product SET slug = CASE slug WHEN 'b' THEN 'c' ELSE 'b' END")
	d.taken()
	d.expect([]string{"b"}, "UPDATE product SET price = CASE WHEN id = 7 THEN 5 ELSE price END, note = ''") // one of two
}

// What a row carries does not depend on who changes the table, and is what psql prints in UTC.
func TestTypes(t *testing.T) {
	d := newDatabase(t, `CREATE TYPE mood AS ENUM ('so so')`, `CREATE DOMAIN sku AS text`,
		`CREATE TABLE typed (u uuid, n numeric, t timestamptz, x text, b bytea, f float8, d date, i interval, m mood, k sku, a text[], e bool, c char(5))`)
	d.install(mapping("typed", "{u}{n}{t}{x}{b}{f}{d}{i}{m}{k}{a}{e}{c}"))
	any := "'\"\\$%{}:/|\t\n ü€😀 "
	d.do("SET DateStyle = 'German'", "SET TimeZone = 'Asia/Tokyo'", "SET IntervalStyle = 'sql_standard'", "SET bytea_output = 'escape'", "SET extra_float_digits = -10",
		"SET search_path = ''", "SET standard_conforming_strings = off", "SET client_min_messages = 'error'")
	if _, err := d.Exec(context.Background(), `INSERT INTO public.typed VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 1.50, '2024-01-02 03:04:05.6+09', $1, 'ab'::bytea,
		0.1::float8 + 0.2::float8, '2024-02-03', '1 day 2 hours', 'so so', 's', ARRAY['a', NULL], true, 'c')`, any); err != nil {
		t.Fatal(err)
	}
	d.expect([]string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|1.50|2024-01-01 18:04:05.6+00|" + any + `|\x6162|0.30000000000000004|2024-02-03|1 day 02:00:00|so so|s|{a,NULL}|t|c    `})
	d.expect([]string{strings.TrimSuffix(strings.Repeat("NULL|", 13), "|")}, "DELETE FROM public.typed", "SELECT 1", "DELETE FROM cacheproxy.outbox", "INSERT INTO public.typed DEFAULT VALUES")
	d.expect([]string{"long"}, "INSERT INTO public.typed (x) VALUES (repeat('x', 1025))")
	d.expect([]string{"long"}, "INSERT INTO public.typed (x) VALUES ('short'), (repeat('x', 5000000))")
}

// Any name will do, for tables, schemas and columns, and whatever is in the function is no variable of it.
func TestQuoting(t *testing.T) {
	for _, name := range []string{`"`, `a"b.c#d`, `$cacheproxy$`, `\'; drop table outbox; --`, "Größe 😀", "select", "_tuples", "cacheproxy_new", "tuples", "mapping", "v0", "c0", "side", "d", "r", "long", "%", "{x}", "public"} {
		t.Run(name, func(t *testing.T) {
			table, column := name+"1", name
			d := newDatabase(t, "CREATE SCHEMA "+identifier(name+"s"), fmt.Sprintf("CREATE TABLE %s (id int PRIMARY KEY, %s text, %s text)", qualified(name+"s", table), identifier(column), identifier(name+"2")))
			m := mapping(table, "p:{id}").watching(column)
			m.Schema, m.Columns = name+"s", []string{"id", name + "2"}
			m.Identify()
			d.do("SET standard_conforming_strings = off")
			d.install(m)
			on := qualified(m.Schema, m.Table)
			d.expect([]string{"1|x"}, fmt.Sprintf("INSERT INTO %s VALUES (1, 'a', 'x')", on))
			d.expect(nil, fmt.Sprintf("UPDATE %s SET id = id", on))
			d.expect([]string{"1|x"}, fmt.Sprintf("UPDATE %s SET %s = 'b'", on, identifier(column)))
			d.expect([]string{"1|x"}, fmt.Sprintf("DELETE FROM %s", on))
			d.do(fmt.Sprintf("TRUNCATE %s", on))
			if got := one[string](d, "SELECT mapping FROM cacheproxy.outbox"); got != m.ID {
				t.Errorf("the outbox has %q, want %q", got, m.ID)
			}
			d.clean(m)
		})
	}
}

// clean says that an installation lacks nothing.
func (d *database) clean(mappings ...*Mapping) {
	d.tb.Helper()
	steps, err := (&Installation{Mappings: mappings}).Plan(context.Background(), d.Conn)
	if err != nil {
		d.tb.Fatal(err)
	}
	for _, s := range steps {
		d.tb.Errorf("%s: %s", s.Wrong, firstLine(s.SQL))
	}
}

// A statement fires the triggers of the table that it names alone.
func TestPartitions(t *testing.T) {
	d := newDatabase(t, `CREATE TABLE part (id int, day date, slug text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)`,
		`CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') PARTITION BY LIST (id)`,
		`CREATE TABLE part11 PARTITION OF part1 DEFAULT`,
		`CREATE TABLE part2 (slug text, day date NOT NULL, id int NOT NULL)`, // other places of its columns
		`ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')`)
	m := mapping("part", "s:{slug}").watching("day")
	d.install(m)
	d.expect([]string{"a b"}, "INSERT INTO part VALUES (1, '2024-01-01', 'a'), (2, '2024-02-01', 'b')")
	d.expect([]string{"c"}, "INSERT INTO part11 VALUES (3, '2024-01-01', 'c')")
	d.expect([]string{"c"}, "UPDATE part1 SET day = '2024-01-05' WHERE id = 3")
	d.expect([]string{"c"}, "UPDATE part SET day = '2024-02-05' WHERE id = 3") // to another partition
	d.expect([]string{"b"}, "DELETE FROM part2 WHERE id = 2")
	d.expect([]string{"truncate"}, "TRUNCATE part2")
	d.clean(m)
	d.do(`CREATE TABLE part3 PARTITION OF part FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')`)
	d.expect(nil, "INSERT INTO part3 VALUES (9, '2024-03-01', 'z')") // nobody hears of it
	d.lacks("public.part3 has no trigger", m)
	d.install(m)
	d.expect([]string{"y"}, "INSERT INTO part3 VALUES (8, '2024-03-01', 'y')")
	d.clean(m)
}

// lacks says that an installation has something wrong.
func (d *database) lacks(wrong string, mappings ...*Mapping) {
	d.tb.Helper()
	steps, err := (&Installation{Mappings: mappings}).Plan(context.Background(), d.Conn)
	if err != nil {
		d.tb.Fatal(err)
	}
	if !slices.ContainsFunc(steps, func(s Step) bool { return strings.Contains(s.Wrong, wrong) }) {
		d.tb.Errorf("nothing says %q: %v", wrong, steps)
	}
}

func TestInheritance(t *testing.T) {
	d := newDatabase(t, product, `CREATE TABLE book (isbn text) INHERITS (product)`)
	m := mapping("product", "s:{slug}")
	d.install(m)
	d.expect([]string{"a"}, "INSERT INTO product VALUES (1, 'a')")
	d.expect([]string{"b"}, "INSERT INTO book VALUES (2, 'b')")
	d.expect([]string{"b c"}, "UPDATE product SET slug = 'c' WHERE id = 2")
	d.expect([]string{"a"}, "DELETE FROM ONLY product")
	d.do(`CREATE TABLE ebook () INHERITS (book)`)
	d.lacks("public.ebook has no trigger", m)
}

// A change of the table that breaks what the function reads costs copies, and no statement.
func TestBrokenByChange(t *testing.T) {
	d := newDatabase(t, product)
	m := mapping("product", "s:{slug}").watching("price")
	d.install(m)
	d.do("INSERT INTO product VALUES (1, 'a', 1)")
	d.taken()
	d.do("ALTER TABLE product RENAME slug TO name")
	d.expect([]string{"error 42703"}, "UPDATE product SET price = 3")
	d.expect([]string{"error 42703"}, "INSERT INTO product VALUES (2, 'b')")
	d.expect([]string{"truncate"}, "TRUNCATE product")
	_, err := (&Installation{Mappings: []*Mapping{m}}).Plan(context.Background(), d.Conn)
	if err == nil || !strings.Contains(err.Error(), `7: postgres.feeds: table public.product has no column "slug"; it has "id", "name", "price", "note"`) {
		t.Errorf("a column that is gone: %v", err)
	}
	d.do("ALTER TABLE product RENAME name TO slug", "ALTER TABLE product RENAME TO items")
	d.expect([]string{"c"}, "INSERT INTO items VALUES (3, 'c')") // the triggers go with it
}

// Nobody has the rights of the role that has installed: a cast of a type's owner is not called, and neither is anything else that he can
// make.
func TestOwnersFunctionsAreNotCalled(t *testing.T) {
	d := newDatabase(t, "GRANT CREATE ON SCHEMA public TO public")
	owner := "owner_" + one[string](d, "SELECT current_database()::text")
	d.do("CREATE ROLE " + owner + " LOGIN")
	as := d.session(owner)
	as.do("CREATE TYPE mood AS ENUM ('a', 'b')", "CREATE TYPE pair AS (x int, y text)", "CREATE DOMAIN few AS int CHECK (value < 10)",
		"CREATE TABLE product (id int PRIMARY KEY, m mood, p pair, f few, price int)",
		"CREATE TABLE called (who text)", "GRANT INSERT ON called TO public")
	for _, of := range []string{"mood", "pair"} {
		as.do("CREATE FUNCTION "+of+"_text("+of+") RETURNS text LANGUAGE sql VOLATILE AS $$ INSERT INTO public.called VALUES (current_user); SELECT 'called' $$",
			"CREATE CAST ("+of+" AS text) WITH FUNCTION "+of+"_text("+of+") AS IMPLICIT")
	}
	m := mapping("product", "{id}:{m}:{p}:{f}").watching("m", "p", "price")
	m.Replicated = true
	m.Identify()
	d.install(m)
	as.do("INSERT INTO product VALUES (1, 'a', ROW(1, 'y'), 2)")
	d.expect([]string{"1|a|(1,y)|2"})
	as.do("UPDATE product SET m = 'b', p = NULL")
	d.expect([]string{"1|a|(1,y)|2 1|b|NULL|2"})
	d.do("SET session_replication_role = replica", "UPDATE product SET m = 'a'", "RESET session_replication_role")
	d.expect([]string{"1|a|NULL|2 1|b|NULL|2"})
	if n := one[int](d, "SELECT count(*)::int FROM called"); n != 0 {
		t.Errorf("a function of the owner has run %d times", n)
	}
	d.do("DROP OWNED BY "+owner+" CASCADE", "DROP ROLE "+owner)
}
