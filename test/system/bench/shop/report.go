package main

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"cacheproxy/test/system/bench"
)

// report is everything that was measured.
type report struct {
	options         options
	postgresVersion string
	capacity        float64       // requests/s of the shop alone, as fast as it can
	alone           time.Duration // latency of the shop alone, one request at a time
	directRate      int           // requests/s that the shop alone sustains, at most the wanted rate
	rows            []row
}

// row is one load.
type row struct {
	name    string
	work    work
	proxied bool
	beside  int // index of the row for the same load without the proxy

	// The fields below are for the proxy only.
	scenario scenario
	copies   int // made by the warm-up
	outcomes outcomes
	allowed  float64 // hit ratio
	editing  editing
}

func (r report) print(w io.Writer) error {
	var out bench.Report
	r.printSetting(&out)
	if err := r.printTable(&out); err != nil {
		return err
	}
	r.printNotes(&out)
	fmt.Fprintf(&out, "\nCommand: %s\n", r.options.flags.Command())
	return out.Print(w)
}

func (r report) printSetting(out *bench.Report) {
	fmt.Fprintf(out, "GET /products/{id} of %d products, Zipf with exponent %v, %d requests/s wanted\n",
		r.options.products, r.options.exponent, r.options.rate)
	fmt.Fprintf(out, "%d cores (%s), %s, PostgreSQL %s; load generator, shop, proxy and PostgreSQL share them\n",
		runtime.NumCPU(), bench.CPUModel(), runtime.Version(), r.postgresVersion)
	fmt.Fprintf(out, "The shop alone answers at most %.0f requests/s (%d clients, each as fast as it can), and one request at a time in %v (p50).\n",
		r.capacity, probeClients, r.alone.Round(time.Microsecond))
	if r.directRate < r.options.rate {
		fmt.Fprintf(out, "It did not sustain %d requests/s (%.0f %% answered while they were sent, none failing, p99 at most %v), so it was measured at %d.\n",
			r.options.rate, 100*sustainedShare, sustainedP99, r.directRate)
	}
	fmt.Fprintln(out)
}

func (r report) printTable(out *bench.Report) error {
	t := bench.NewTable(out, r.rows)
	line := t.Line
	proxied := func(cell func(row) string) func(row) string {
		return func(r row) string {
			if !r.proxied {
				return "-"
			}
			return cell(r)
		}
	}
	line("", func(r row) string { return r.name })
	line("requests/s answered with 200", func(r row) string { return fmt.Sprintf("%.0f", r.work.traffic.rate) })
	line("requests not answered with 200", func(r row) string { return fmt.Sprint(r.work.traffic.failed) })
	line("p50", func(r row) string { return bench.Milliseconds(r.work.traffic.p50) })
	line("p95", func(r row) string { return bench.Milliseconds(r.work.traffic.p95) })
	line("p99", func(r row) string { return bench.Milliseconds(r.work.traffic.p99) })
	line("queries/s at PostgreSQL", func(r row) string { return fmt.Sprintf("%.1f", r.perSecond(float64(r.work.statements))) })
	line("queries per 1,000 requests", func(r row) string { return fmt.Sprintf("%.1f", r.perThousand(float64(r.work.statements))) })
	line("PostgreSQL's CPU, cores", func(r row) string { return fmt.Sprintf("%.3f", r.perSecond(r.work.postgres.Seconds())) })
	line("PostgreSQL's CPU per 1,000 requests", func(r row) string {
		return fmt.Sprintf("%.1f ms", r.perThousand(r.work.postgres.Seconds()*1000))
	})
	line("the proxy's CPU, cores", proxied(func(r row) string { return fmt.Sprintf("%.3f", r.perSecond(r.work.proxy.Seconds())) }))
	line("hit ratio, by the proxy's metrics", proxied(func(r row) string { return percent(r.outcomes.ratio("hit")) }))
	line("hit ratio, by Cache-Status", proxied(func(r row) string {
		return percent(float64(r.work.traffic.hits) / float64(r.work.traffic.requests))
	}))
	line("hit ratio that arithmetic allows", proxied(func(r row) string {
		if r.beside > 0 {
			return "-" // not in the steady state
		}
		return percent(r.allowed)
	}))
	return t.Close()
}

func (r report) printNotes(out *bench.Report) {
	for _, row := range r.rows {
		if traffic := row.work.traffic; traffic.failed > 0 {
			fmt.Fprintf(out, "\n%s, what went wrong: %s\n", row.name, bench.Counts(traffic.failures))
		}
		if !row.proxied {
			continue
		}
		base := r.rows[row.beside]
		fmt.Fprintf(out, "\n%s: per request, PostgreSQL runs %s fewer queries and uses %s less CPU than without the proxy.\n", row.name,
			percent(1-row.perThousand(float64(row.work.statements))/base.perThousand(float64(base.work.statements))),
			percent(1-row.perThousand(row.work.postgres.Seconds())/base.perThousand(base.work.postgres.Seconds())))
		fmt.Fprintf(out, "  Outcomes by the proxy's metrics: %s\n", bench.Counts(row.outcomes))
		if row.beside > 0 {
			fmt.Fprintf(out, "  %d requests/s for the stock of products, %s of which set it, through a write-through route with a TTL of 60s; %v of load before measuring.\n",
				r.options.stockRate, percent(r.options.writes), stockSettle)
			continue
		}
		fmt.Fprintf(out, "  The warm-up was fast-forwarded: the %d copies that the steady state has at %d requests/s were fetched once each,\n"+
			"  with the Age that they have then; then %v of load before measuring.\n", row.copies, r.options.rate, settle)
		if row.scenario.edits > 0 {
			fmt.Fprintf(out, "  %d edits (%.1f/s, Zipf like the reads), each then purged by key and read through the proxy: %d of these reads were stale;\n"+
				"  the purge took %s (p50), %s (p99). Edits and these reads are among the queries and the metrics;\n"+
				"  the load itself finds the copy that such a read has made, so its ratio by Cache-Status can exceed the arithmetic's.\n",
				row.editing.edits, row.perSecond(float64(row.editing.edits)), row.editing.stale,
				bench.Milliseconds(row.editing.p50), bench.Milliseconds(row.editing.p99))
		}
	}
	fmt.Fprint(out, "\nArithmetic: the sum over products of p·λL/(1+λL), with λ = p·rate and L the mean life of a copy:\n"+
		"the TTL, or with edits at rate μ of the product (1-exp(-μ·TTL))/μ.\n")
}

func (r row) perSecond(n float64) float64 { return n / r.work.traffic.elapsed.Seconds() }

func (r row) perThousand(n float64) float64 { return n * 1000 / float64(r.work.traffic.requests) }

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }
