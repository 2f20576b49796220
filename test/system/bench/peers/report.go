package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"cacheproxy/test/system/bench"
)

// cell is the summary of all rounds of a peer under a load.
type cell struct {
	Peer   string   `json:"peer"`
	Heads  string   `json:"heads"`
	Rate   spread   `json:"requests_per_second"`
	CPU    spread   `json:"cpu_microseconds_per_request"`
	Valkey *spread  `json:"valkey_cpu_microseconds_per_request,omitempty"` // of Valkey's process, for loads on Valkey
	Ratio  float64  `json:"cacheproxy_cpu_per_this_cpu"`                   // above 1: the proxy uses more
	Errors []string `json:"errors,omitempty"`
}

// row is a load.
type row struct {
	Load        string `json:"load"`
	Title       string `json:"title"`
	Connections int    `json:"connections"`
	Bytes       int    `json:"bytes"`
	Cells       []cell `json:"cells"`
}

// report is everything that was measured.
type report struct {
	Date        time.Time         `json:"date"`
	Command     string            `json:"command"`
	Machine     machine           `json:"machine"`
	Pinned      cores             `json:"pinned_to_cores"`
	Rounds      int               `json:"rounds"`
	Seconds     float64           `json:"seconds_each"`
	Versions    map[string]string `json:"versions"`
	NotMeasured []string          `json:"not_measured,omitempty"`
	Rows        []row             `json:"rows"`
	Runs        []run             `json:"runs"`
	Latency     []latencyRow      `json:"latency,omitempty"`
	Churn       []churnRow        `json:"churn,omitempty"`
	Memory      []memoryRow       `json:"memory,omitempty"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func newReport(o options, c cores) *report {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte(runtime.GOOS)
	}
	return &report{
		Date: time.Now().UTC().Truncate(time.Second), Command: o.flags.Command(), Pinned: c, Rounds: o.rounds, Seconds: o.time.Seconds(),
		Machine:  machine{bench.CPUModel(), runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version()},
		Versions: map[string]string{},
	}
}

// versionOf is the first line of the output of a program's version command.
func versionOf(ctx context.Context, p peer) string {
	if len(p.version) == 0 {
		return ""
	}
	// Some programs exit with a failure after printing their version.
	out, err := exec.CommandContext(ctx, p.version[0], p.version[1:]...).CombinedOutput()
	if len(out) == 0 && err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(first)
}

// add makes a row of a load's runs.
func (r *report) add(l load, runs []run) {
	r.Runs = append(r.Runs, runs...)
	w := row{Load: l.name, Title: l.title, Connections: l.connections, Bytes: l.size}
	type key struct{ peer, heads string }
	at := map[key]int{}
	rates, cpus, valkeys := map[key][]float64{}, map[key][]float64{}, map[key][]float64{}
	for _, one := range runs {
		k := key{one.Peer, one.Heads}
		i, ok := at[k]
		if !ok {
			i = len(w.Cells)
			at[k] = i
			w.Cells = append(w.Cells, cell{Peer: one.Peer, Heads: one.Heads})
		}
		if one.Error != "" {
			w.Cells[i].Errors = append(w.Cells[i].Errors, one.Error)
			continue
		}
		rates[k], cpus[k], valkeys[k] = append(rates[k], one.Rate), append(cpus[k], one.CPU), append(valkeys[k], one.Valkey)
	}
	for k, i := range at {
		w.Cells[i].Rate, w.Cells[i].CPU = spreadOf(rates[k]), spreadOf(cpus[k])
		if l.valkey {
			of := spreadOf(valkeys[k])
			w.Cells[i].Valkey = &of
		}
	}
	for i := range w.Cells {
		if reference, ok := w.find(ours, w.Cells[i].Heads); ok {
			w.Cells[i].Ratio = ratio(reference.CPU.Median, w.Cells[i].CPU.Median)
		}
	}
	r.Rows = append(r.Rows, w)
}

func (w row) find(peer, heads string) (cell, bool) {
	for _, c := range w.Cells {
		if c.Peer == peer && c.Heads == heads {
			return c, true
		}
	}
	return cell{}, false
}

func (r *report) printSetting(w io.Writer) error {
	var out bench.Report
	m := r.Machine
	fmt.Fprintf(&out, "%s, %d cores, Linux %s, %s, %s\n", m.CPU, m.Cores, m.Kernel, m.Go, r.Date.Format(time.DateOnly))
	if r.Pinned.Server == "" {
		fmt.Fprintf(&out, "Nobody is pinned: this needs two cores or more, and taskset.\n")
	} else {
		fmt.Fprintf(&out, "The server under test has core %s; wrk, the origin and all else core %s.\n", r.Pinned.Server, r.Pinned.Load)
	}
	fmt.Fprintf(&out, "%d interleaved rounds of %v s. CPU: user and system time of the server and its children, per request. Median (least to most).\n",
		r.Rounds, r.Seconds)
	fmt.Fprintf(&out, "Ratio: the CPU time of cacheproxy by that of the peer.\n")
	for _, why := range r.NotMeasured {
		fmt.Fprintf(&out, "Not measured: %s\n", why)
	}
	return out.Print(w)
}

// column is a column of a row's table.
type column struct {
	title string
	cell  func(peer string) string
}

func (w row) columns() []column {
	var columns []column
	for _, heads := range []string{realistic, constants} {
		if len(w.Cells) == 0 || !w.has(heads, "") {
			continue
		}
		get := func(show func(cell) string) func(string) string {
			return func(peer string) string {
				c, ok := w.find(peer, heads)
				if !ok || c.Rate.Median == 0 {
					return "-"
				}
				return show(c)
			}
		}
		columns = append(columns,
			column{heads + " heads: requests/s", get(func(c cell) string { return fmt.Sprintf("%.0f (%.0f-%.0f)", c.Rate.Median, c.Rate.Least, c.Rate.Most) })},
			column{"CPU µs", get(func(c cell) string { return fmt.Sprintf("%.1f (%.1f-%.1f)", c.CPU.Median, c.CPU.Least, c.CPU.Most) })},
			column{"ratio", get(func(c cell) string { return fmt.Sprintf("%.2f", c.Ratio) })})
		if w.Cells[0].Valkey != nil {
			columns = append(columns, column{"CPU µs of Valkey", get(func(c cell) string {
				return fmt.Sprintf("%.1f (%.1f-%.1f)", c.Valkey.Median, c.Valkey.Least, c.Valkey.Most)
			})})
		}
	}
	return columns
}

// has reports whether the peer was measured with these heads; an empty peer: any peer.
func (w row) has(heads, peer string) bool {
	return slices.ContainsFunc(w.Cells, func(c cell) bool { return c.Heads == heads && (peer == "" || c.Peer == peer) })
}

// peers are the peers of a row, in order.
func (w row) peers() (names []string) {
	for _, p := range allPeers() {
		for _, c := range w.Cells {
			if c.Peer == p.name {
				names = append(names, p.name)
				break
			}
		}
	}
	return names
}

func (r *report) printRow(w io.Writer, of row) error {
	var out bench.Report
	fmt.Fprintf(&out, "\n%s (%d connections, %d bytes)\n", of.Title, of.Connections, of.Bytes)
	t := bench.NewTable(&out, of.columns())
	t.Line("", func(c column) string { return c.title })
	for _, peer := range of.peers() {
		t.Line(peer, func(c column) string { return c.cell(peer) })
	}
	if err := t.Close(); err != nil {
		return err
	}
	for _, c := range of.Cells {
		if len(c.Errors) > 0 {
			fmt.Fprintf(&out, "%s, %s heads, not measured in %d runs: %s\n", c.Peer, c.Heads, len(c.Errors), c.Errors[0])
		}
	}
	return out.Print(w)
}

// write writes the files that the flags name.
func (r *report) write(o options) error {
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	if o.svg != "" {
		text, err := draw(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.svg, text, 0o644); err != nil {
			return fmt.Errorf("write plot: %w", err)
		}
	}
	return nil
}

// finish prints the summary of the whole run, and fails where a measurement of the proxy failed.
func (r *report) finish(o options) error {
	if err := errors.Join(r.printSummary(os.Stdout), r.write(o)); err != nil {
		return err
	}
	fmt.Printf("\nCommand: %s\n", r.Command)
	wrong := 0
	for _, one := range r.Runs {
		// A failure of another program is shown in the table, and is no failure of this run.
		if one.Error != "" && (one.Peer == ours || one.Peer == baseline) {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d runs of cacheproxy gave no figure: see above", wrong)
	}
	return nil
}
