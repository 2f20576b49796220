package postgres

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// isOwed tells whether the tag of the mapping's table is owed.
func (d *database) isOwed(m *Mapping) bool {
	d.tb.Helper()
	return one[bool](d, "SELECT coalesce(pg_sequence_last_value(owed), 0) = 1 FROM cacheproxy.marker WHERE mapping = "+literal(m.ID))
}

// settle consumes what is owed, as C3 says; false: somebody stands in the way.
func (d *database) settle(m *Mapping) bool {
	d.tb.Helper()
	tx, err := d.Begin(context.Background())
	if err != nil {
		d.tb.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	rows, err := tx.Query(context.Background(), "SELECT FROM cacheproxy.marker WHERE mapping = $1 FOR UPDATE SKIP LOCKED", m.ID)
	if err != nil {
		d.tb.Fatal(err)
	}
	found := rows.Next()
	rows.Close()
	if !found || rows.Err() != nil {
		return false
	}
	if _, err := tx.Exec(context.Background(), "SELECT setval('cacheproxy."+identifier(m.owed())+"', 0)"); err != nil {
		d.tb.Fatal(err)
	}
	if err := tx.Commit(context.Background()); err != nil {
		d.tb.Fatal(err)
	}
	return true
}

// consumed says that everything up to now is consumed.
func (d *database) consumed() {
	d.tb.Helper()
	d.do("SELECT setval('cacheproxy.consumed', (SELECT last_value FROM cacheproxy.outbox_id_seq))")
}

var isolations = []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"}

// While nobody consumes, the outbox stays small, and no change is lost: not that of a writer that is held open across a consumption, in
// whichever order the two come and whichever snapshot the writer has.
func TestBound(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			d := newDatabase(t, product, "CREATE TABLE other (id int)")
			m, other := mapping("product", "p:{id}"), mapping("other", "o:{id}")
			d.installAs(&Installation{Mappings: []*Mapping{m, other}, limit: 3})
			d.consumed()
			d.do("INSERT INTO product SELECT i FROM generate_series(1, 20) i")
			for i := range 10 {
				d.do(fmt.Sprintf("UPDATE product SET price = 1 WHERE id = %d", i+1))
			}
			if n := one[int](d, "SELECT count(*)::int FROM cacheproxy.outbox"); n != 4 {
				t.Errorf("%d rows", n)
			}
			if !d.isOwed(m) || d.isOwed(other) {
				t.Error("what is owed is not what was changed")
			}

			// The writer came first: it has no row, and the consumer waits for its end.
			early, late := d.session(""), d.session("")
			early.do("BEGIN ISOLATION LEVEL "+isolation, "SELECT 1", "UPDATE product SET price = 2 WHERE id = 1")
			late.do("BEGIN ISOLATION LEVEL "+isolation, "SELECT 1") // with a snapshot in which the tag is owed
			if d.settle(m) {
				t.Fatal("the consumer does not see a writer that has written no row")
			}
			d.taken()
			d.consumed()
			// From here on writers write rows.
			d.expect([]string{"2"}, "UPDATE product SET price = 2 WHERE id = 2")
			if d.settle(m) {
				t.Fatal("the consumer does not see the writer from before")
			}
			early.do("COMMIT")
			if !d.settle(m) {
				t.Fatal("the writer has ended, and the consumer is still kept off")
			}
			if d.isOwed(m) {
				t.Error("is owed")
			}
			// An old snapshot does not mislead its writer.
			late.do("UPDATE product SET price = 3 WHERE id = 3", "COMMIT")
			d.expect([]string{"3"})
			if d.isOwed(m) {
				t.Error("is owed again")
			}

			// The consumer came first: the writer neither waits for it nor believes that it will be told of.
			d.do("UPDATE cacheproxy.installation SET version = version", "SELECT setval('cacheproxy.outbox_id_seq', 100)")
			consumer := d.session("")
			consumer.do("BEGIN", "SELECT FROM cacheproxy.marker FOR UPDATE SKIP LOCKED")
			d.expect([]string{"4"}, "SET statement_timeout = '10s'", "UPDATE product SET price = 4 WHERE id = 4")
			consumer.do("COMMIT")
			d.expect(nil, "UPDATE product SET price = 5 WHERE id = 5")
			if !d.isOwed(m) {
				t.Error("neither a row nor owed")
			}

			// Neither a rolled back change nor a prepared one is forgotten.
			if !d.settle(m) {
				t.Fatal("is kept off")
			}
			d.do("BEGIN ISOLATION LEVEL "+isolation, "UPDATE product SET price = 6 WHERE id = 6", "PREPARE TRANSACTION 'p"+isolation[:3]+"'")
			if d.settle(m) {
				t.Error("the consumer does not see a prepared transaction")
			}
			d.do("COMMIT PREPARED 'p" + isolation[:3] + "'")
			if !d.isOwed(m) || !d.settle(m) {
				t.Error("what was prepared is not owed")
			}
			d.do("BEGIN", "UPDATE product SET price = 7 WHERE id = 7", "ROLLBACK")
			if !d.isOwed(m) {
				t.Error("a rollback has taken back what belongs to no transaction")
			}
		})
	}
}

// A writer holds no lock that another writer waits for.
func TestWritersDoNotWait(t *testing.T) {
	d := newDatabase(t, product, "INSERT INTO product SELECT i FROM generate_series(1, 9) i")
	d.installAs(&Installation{Mappings: []*Mapping{mapping("product", "p:{id}")}, limit: 1})
	d.do("SELECT setval('cacheproxy.outbox_id_seq', 100)")
	for i := range 9 {
		s := d.session("")
		s.do("SET lock_timeout = '2s'", "BEGIN", fmt.Sprintf("UPDATE product SET price = 1 WHERE id = %d", i+1))
	}
	if n := one[int](d, "SELECT count(*)::int FROM cacheproxy.outbox"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// Where neither row nor lock can be had, the statement fails, or goes on and is counted.
func TestOnError(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		d := newDatabase(t, product)
		m := mapping("product", "p:{id}")
		m.Lossy = lossy
		d.install(m)
		d.do("REVOKE ALL ON cacheproxy.outbox FROM postgres", "ALTER TABLE cacheproxy.outbox RENAME TO away")
		_, err := d.Exec(context.Background(), "INSERT INTO product VALUES (1)")
		count := one[int](d, "SELECT count(*)::int FROM product")
		var pg *pgconn.PgError
		switch {
		case !lossy && (err == nil || count != 0):
			t.Error("the change is lost, and nobody was told")
		case lossy && (err != nil || count != 1):
			t.Errorf("the statement has failed: %v %v", err, pg)
		case lossy && one[int](d, "SELECT pg_sequence_last_value('cacheproxy.lost')::int") != 1:
			t.Error("what is lost is not counted")
		}
		if lossy {
			d.do("DROP SEQUENCE cacheproxy.lost", "INSERT INTO product VALUES (2)")
		}
	}
}

// Only with on_error: lose does a statement take a transaction id for a part of itself: many of them make the snapshots of all slower.
func TestSubtransactions(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		d := newDatabase(t, product)
		m := mapping("product", "p:{id}").watching("price")
		m.Lossy = lossy
		d.install(m)
		d.do("BEGIN", "INSERT INTO product VALUES (1)")
		before := one[int64](d, "SELECT txid_snapshot_xmax(txid_current_snapshot())")
		for i := range 10 {
			d.do(fmt.Sprintf("UPDATE product SET price = %d", i))
		}
		d.do("COMMIT")
		ids := one[int64](d, "SELECT txid_snapshot_xmax(txid_current_snapshot())") - before
		if lossy != (ids > 10) {
			t.Errorf("lossy %v: %d transaction ids", lossy, ids)
		}
	}
}

func TestNotify(t *testing.T) {
	d := newDatabase(t, product)
	d.installAs(&Installation{Mappings: []*Mapping{mapping("product", "p:{id}")}, Notify: true})
	listener := d.session("")
	listener.do("LISTEN cacheproxy")
	d.do("INSERT INTO product VALUES (1)")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := listener.WaitForNotification(ctx)
	if err != nil || n.Channel != "cacheproxy" || n.Payload != "" {
		t.Errorf("%v %v", n, err)
	}
	if !one[bool](d, "SELECT notify FROM cacheproxy.installation") {
		t.Error("the installation does not say so")
	}
	d.lacks("notify is true", mapping("product", "p:{id}"))
}

// Rows that logical replication brings count where the feed asks for it.
func TestReplicated(t *testing.T) {
	origin := newDatabase(t, product, "CREATE PUBLICATION p FOR TABLE product", "INSERT INTO product VALUES (1, 'a')")
	d := newDatabase(t, product)
	m := mapping("product", "s:{slug}").watching("price")
	m.Replicated = true
	m.Identify()
	d.install(m)
	slot := "slot_" + one[string](d, "SELECT current_database()::text")
	origin.do("SELECT pg_create_logical_replication_slot('" + slot + "', 'pgoutput')")
	d.do(fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION p WITH (create_slot = false, slot_name = %s, copy_data = false)", slot, literal(origin.url), literal(slot)))
	t.Cleanup(func() {
		d.do("ALTER SUBSCRIPTION "+slot+" DISABLE", "ALTER SUBSCRIPTION "+slot+" SET (slot_name = NONE)", "DROP SUBSCRIPTION "+slot)
		deadline := time.Now().Add(20 * time.Second)
		for time.Now().Before(deadline) && one[bool](origin, "SELECT active FROM pg_replication_slots WHERE slot_name = "+literal(slot)) {
			origin.do("SELECT pg_sleep(0.05)")
		}
		origin.do("SELECT pg_drop_replication_slot('" + slot + "')")
	})
	origin.do("INSERT INTO product VALUES (2, 'b'), (3, 'c')", "UPDATE product SET note = 'x' WHERE id = 2", "UPDATE product SET slug = 'd' WHERE id = 3",
		"DELETE FROM product WHERE id = 2", "TRUNCATE product", "INSERT INTO product VALUES (9, 'last')")
	var got []string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && !slices.Contains(got, "last"); {
		d.do("SELECT pg_sleep(0.02)")
		got = append(got, d.taken()...)
	}
	if want := []string{"b", "c", "c d", "b", "truncate", "last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	d.clean(m)
	d.expect([]string{"z"}, "INSERT INTO product VALUES (10, 'z')") // once, and not by the row as well
}
