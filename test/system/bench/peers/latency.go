package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cacheproxy/test/system/bench"
)

// latencyLoads are the loads at a steady rate. The rates are far below what any peer can do.
func latencyLoads() []latencyLoad {
	one := load{name: "latency-hit", title: "hit on one object", connections: usualConnections, size: 2 << 10, paths: objects(2<<10, 1), status: 200, origin: hits}
	miss := one
	miss.name, miss.title, miss.paths, miss.origin = "latency-miss", "miss", onlyUnique, misses
	return []latencyLoad{{one, 1}, {miss, 2}}
}

type latencyLoad struct {
	load
	part int // divisor of --rate
}

// latencyRow is one load at a steady rate.
type latencyRow struct {
	Load  string        `json:"load"`
	Title string        `json:"title"`
	Rate  int           `json:"requests_per_second"`
	Cells []latencyCell `json:"cells"`
}

// latencyCell has the rounds of a peer, and their medians field by field.
type latencyCell struct {
	Peer   string    `json:"peer"`
	Median latency   `json:"median"`
	Rounds []latency `json:"rounds"`
	Errors []string  `json:"errors,omitempty"`
}

// measureLatency measures all peers at one steady rate, in interleaved rounds.
func (s *session) measureLatency(ctx context.Context, l latencyLoad) (w latencyRow, err error) {
	w = latencyRow{Load: l.name, Title: l.title, Rate: max(1, s.options.rate/l.part)}
	b, stop, err := s.makeBed(ctx, l.load)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	failed := func(peer string, err error) {
		w.Cells = append(w.Cells, latencyCell{Peer: peer, Errors: []string{err.Error()}})
	}
	there := b.start(ctx, s.ableTo(l.load), failed)
	defer func() { err = errors.Join(err, there.stop()) }()
	paths := l.paths()
	m, err := writeMaterial(b.dir, l.name, s.heads[realistic], "", paths)
	if err != nil {
		return w, err
	}
	if err := s.warmAll(ctx, b, there, []string{realistic}, paths, failed); err != nil {
		return w, err
	}
	first := len(w.Cells)
	for _, server := range there.servers {
		w.Cells = append(w.Cells, latencyCell{Peer: server.name})
	}
	for range s.options.rounds {
		for i, server := range there.servers {
			c := &w.Cells[first+i]
			one, err := runPaced(ctx, m, server.address, s.uniquePrefix(), w.Rate, 2*s.options.time)
			if ctx.Err() != nil {
				return w, ctx.Err()
			}
			if err != nil {
				c.Errors = append(c.Errors, err.Error())
				continue
			}
			c.Rounds = append(c.Rounds, one)
		}
	}
	for i := range w.Cells {
		w.Cells[i].Median = medianLatency(w.Cells[i].Rounds)
	}
	return w, nil
}

func medianLatency(rounds []latency) latency {
	median := func(of func(latency) time.Duration) time.Duration {
		var values []float64
		for _, one := range rounds {
			values = append(values, float64(of(one)))
		}
		return time.Duration(spreadOf(values).Median)
	}
	l := latency{
		P50:     median(func(l latency) time.Duration { return l.P50 }),
		P99:     median(func(l latency) time.Duration { return l.P99 }),
		P999:    median(func(l latency) time.Duration { return l.P999 }),
		Longest: median(func(l latency) time.Duration { return l.Longest }),
	}
	for _, one := range rounds {
		l.Requests, l.Failed = l.Requests+one.Requests, l.Failed+one.Failed
	}
	return l
}

func (w latencyRow) print(to io.Writer) error {
	var rows []textRow
	for _, c := range w.Cells {
		l := c.Median
		rows = append(rows, textRow{c.Peer, times(l.P50, l.P99, l.P999, l.Longest), c.Errors})
	}
	return printTable(to, fmt.Sprintf("%s, latency at %d requests/s, with the wait for a connection", w.Title, w.Rate),
		[]string{"p50", "p99", "p99.9", "longest"}, rows)
}

// textRow is the printed row of a peer: a cell for each column, or the reason for missing cells.
type textRow struct {
	peer  string
	cells []string
	why   []string
}

// printTable prints a table with a row for each peer, and below the table the reasons for missing measurements. Without
// rows printTable prints nothing.
func printTable(to io.Writer, title string, columns []string, rows []textRow) error {
	if len(rows) == 0 {
		return nil
	}
	numbers := make([]int, len(columns))
	for i := range numbers {
		numbers[i] = i
	}
	var out bench.Report
	fmt.Fprintf(&out, "\n%s\n", title)
	t := bench.NewTable(&out, numbers)
	t.Line("", func(i int) string { return columns[i] })
	for _, r := range rows {
		t.Line(r.peer, func(i int) string {
			if len(r.cells) == 0 {
				return "-"
			}
			return r.cells[i]
		})
	}
	if err := t.Close(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, why := range r.why {
			fmt.Fprintf(&out, "%s, not measured: %s\n", r.peer, why)
		}
	}
	return out.Print(to)
}

func times(all ...time.Duration) (cells []string) {
	for _, d := range all {
		cells = append(cells, bench.Milliseconds(d))
	}
	return cells
}
