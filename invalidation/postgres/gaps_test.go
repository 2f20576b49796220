package postgres

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// parted is a table with a partition.
const parted = `CREATE TABLE parted (id int PRIMARY KEY, slug text) PARTITION BY RANGE (id);
	CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100)`

// exchanged takes a table away and makes one of the same name with the same triggers, as a dump that is restored does: rows come before
// the triggers.
func (d *database) exchanged(table, create string) {
	d.tb.Helper()
	triggers := one[[]string](d, "SELECT array_agg(pg_get_triggerdef(oid)) FROM pg_trigger WHERE tgrelid = '"+table+"'::regclass AND NOT tgisinternal")
	d.do("DROP TABLE "+table, create)
	d.do(triggers...)
}

// gap is what is wrong with a mapping, as a consumer sees it.
func (d *database) gap(m *Mapping) string {
	d.tb.Helper()
	gaps, err := Gaps(context.Background(), d.Conn, []*Mapping{m})
	if err != nil {
		d.tb.Fatal(err)
	}
	return gaps[m.ID]
}

// Whatever keeps changes of a table from being told is found by a consumer, who reads the catalog alone; and the install that mends it
// tells of the whole table, since of what has changed meanwhile nobody has told. An install that mends nothing tells of nothing.
func TestGaps(t *testing.T) {
	d := newDatabase(t, product, parted)
	plain, replicated := mapping("product", "p:{id}"), mapping("parted", "q:{id}")
	replicated.Replicated = true
	replicated.Identify()
	want := &Installation{Mappings: []*Mapping{plain, replicated}}
	d.installAs(want)
	trigger := "cacheproxy_" + plain.digest() + "_update"
	function := "cacheproxy.changed_" + plain.digest() + "_update"
	row := "cacheproxy_" + replicated.digest() + "_update_row"
	for _, wrong := range []struct {
		of   *Mapping
		does func()
		says string
	}{
		{plain, func() { d.do("DROP TRIGGER " + trigger + " ON product") }, "public.product lacks trigger " + trigger},
		{plain, func() { d.do("ALTER TABLE product DISABLE TRIGGER USER") }, "lacks trigger"},
		{plain, func() { d.do("ALTER TABLE product ENABLE REPLICA TRIGGER " + trigger) }, "lacks trigger"},
		{plain, func() { d.do("ALTER TRIGGER " + trigger + " ON product RENAME TO other") }, "lacks trigger"},
		{plain, func() {
			d.do("DROP TRIGGER "+trigger+" ON product", "CREATE TRIGGER "+trigger+" AFTER UPDATE ON product EXECUTE FUNCTION "+function+"()")
		}, "lacks trigger"},
		{plain, func() {
			d.do("DROP TRIGGER "+trigger+" ON product", strings.NewReplacer("_update", "_delete").Replace("CREATE TRIGGER x_update AFTER UPDATE ON product EXECUTE FUNCTION "+function+"()"),
				"ALTER TRIGGER x_delete ON product RENAME TO "+trigger)
		}, "lacks trigger"},
		{plain, func() { d.do("DROP FUNCTION " + function + " CASCADE") }, "lacks trigger"},
		{plain, func() { d.do("DROP TABLE product", product) }, "lacks trigger"},
		{plain, func() { d.exchanged("product", product) }, "is not the table that it was installed on"},
		{replicated, func() { d.do("ALTER TABLE parted_low DISABLE TRIGGER " + row) }, "public.parted_low lacks trigger " + row},
		{replicated, func() { d.do("ALTER TABLE parted_low ENABLE TRIGGER " + row) }, "public.parted_low lacks trigger " + row},
		{replicated, func() { d.do("CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (200)") }, "public.parted_high lacks trigger"},
		{replicated, func() { d.do("ALTER TABLE parted DETACH PARTITION parted_high") }, "has other partitions"},
		{replicated, func() { d.do("ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM (100) TO (200)") }, "has other partitions"},
		{replicated, func() { d.do("DROP TABLE parted_high") }, "has other partitions"},
	} {
		wrong.does()
		gaps, err := Gaps(context.Background(), d.Conn, want.Mappings)
		if err != nil || len(gaps) != 1 || !strings.Contains(gaps[wrong.of.ID], wrong.says) {
			t.Errorf("want %q, got %q %v", wrong.says, gaps, err)
		}
		if steps, err := want.Plan(context.Background(), d.Conn); err != nil || len(steps) == 0 {
			t.Errorf("%s: plan %v %v", wrong.says, steps, err)
		}
		for _, told := range [][]string{{"installed"}, nil} { // and again, with nothing to mend
			if _, err := want.Install(context.Background(), d.Conn); err != nil {
				t.Fatal(err)
			}
			if got := d.taken(); !slices.Equal(got, told) {
				t.Errorf("%s: the install has told of %q, want %q", wrong.says, got, told)
			}
		}
		if plain, replicated := d.gap(plain), d.gap(replicated); plain != "" || replicated != "" {
			t.Errorf("%s: after the install %q %q", wrong.says, plain, replicated)
		}
	}
	// A function that does something else has told of nothing either.
	d.do("CREATE OR REPLACE FUNCTION " + function + "() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
	if _, err := want.Install(context.Background(), d.Conn); err != nil {
		t.Fatal(err)
	}
	d.expect([]string{"installed"})
	d.do("ALTER TABLE product RENAME TO elsewhere")
	if got := d.gap(plain); got != "there is no such table" {
		t.Error(got)
	}
}

// An installation of the first version has nothing about relations: what consumes says so, and install brings it up to date.
func TestUpgrade(t *testing.T) {
	d := newDatabase(t, product)
	m := mapping("product", "p:{id}")
	d.install(m)
	d.do("DROP TABLE cacheproxy.covered", "UPDATE cacheproxy.installation SET version = 1")
	if got := d.gap(m); !strings.Contains(got, "older than this program") {
		t.Errorf("gap %q", got)
	}
	d.lacks("the installation is of version 1", m)
	if _, err := (&Installation{Mappings: []*Mapping{m}}).Install(context.Background(), d.Conn); err != nil {
		t.Fatal(err)
	}
	if version := one[int](d, "SELECT version FROM cacheproxy.installation"); version != layoutVersion {
		t.Errorf("version %d", version)
	}
	d.expect([]string{"installed"})
	d.clean(m)
	if got := d.gap(m); got != "" {
		t.Errorf("gap %q", got)
	}
	d.do("DROP TABLE cacheproxy.covered")
	if _, err := (&Installation{Mappings: []*Mapping{m}}).Plan(context.Background(), d.Conn); err == nil || !strings.Contains(err.Error(), "cacheproxy.covered is missing") {
		t.Errorf("without it: %v", err)
	}
}
