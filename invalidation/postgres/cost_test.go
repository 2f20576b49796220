package postgres

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// What a statement costs with and without the triggers, in a server that does not wait for its disk, so that what the triggers add is the
// largest share that it can be, and how long the server works for it, which other programs on the machine do not change. Run with
//
//	go test ./invalidation/postgres -run '^$' -bench Statement
func BenchmarkStatement(b *testing.B) {
	watched, lossy := mapping("product", "p:{id}", "s:{slug}").watching("price"), mapping("product", "p:{id}", "s:{slug}")
	lossy.Lossy = true
	for _, with := range []struct {
		name   string
		want   *Installation
		update string
	}{
		{"without", nil, "UPDATE product SET price = price + 1 WHERE id = i"},
		{"with", &Installation{Mappings: []*Mapping{mapping("product", "p:{id}", "s:{slug}")}}, "UPDATE product SET price = price + 1 WHERE id = i"},
		{"columns", &Installation{Mappings: []*Mapping{watched}}, "UPDATE product SET price = price + 1 WHERE id = i"},
		{"columns-unchanged", &Installation{Mappings: []*Mapping{watched}}, "UPDATE product SET note = note || '' WHERE id = i"},
		{"lose", &Installation{Mappings: []*Mapping{lossy}}, "UPDATE product SET price = price + 1 WHERE id = i"},
		{"overflown", &Installation{Mappings: []*Mapping{mapping("product", "p:{id}", "s:{slug}")}, limit: 1}, "UPDATE product SET price = price + 1 WHERE id = i"},
	} {
		b.Run(with.name, func(b *testing.B) {
			d := newDatabase(b, product, "ALTER TABLE product SET (fillfactor = 50)", "INSERT INTO product SELECT i, 'slug-' || i, 1, 'n' FROM generate_series(1, 1000) i")
			if with.want != nil {
				d.installAs(with.want)
			}
			// In the server alone, since the way there costs more: a loop of many statements, in one transaction.
			const statements = 1000
			loop := "DO $do$ BEGIN FOR i IN 1..1000 LOOP " + with.update + "; END LOOP; END $do$"
			d.do(loop)
			cpu := time.Duration(0)
			for b.Loop() {
				before := d.cpu()
				d.do(loop)
				cpu += d.cpu() - before
				b.StopTimer()
				d.do("VACUUM product", "CREATE SCHEMA IF NOT EXISTS cacheproxy", "CREATE TABLE IF NOT EXISTS cacheproxy.outbox ()", "TRUNCATE cacheproxy.outbox")
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e3/float64(b.N*statements), "µs/statement")
			b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(b.N*statements), "µs-cpu/statement")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpu is what the session's process has worked; zero where the system does not say so.
func (d *database) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", d.PgConn().PID()))
	if err != nil {
		return 0
	}
	var ns int64
	if _, err := fmt.Sscan(string(text), &ns); err != nil {
		d.tb.Fatal(err)
	}
	return time.Duration(ns)
}
