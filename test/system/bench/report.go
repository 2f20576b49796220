package bench

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is text for a reader.
type Report struct{ bytes.Buffer }

// Print writes the text in one piece.
func (r *Report) Print(w io.Writer) error {
	if _, err := w.Write(r.Bytes()); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
}

// Table is a table with a name before each line, and a column for each C.
type Table[C any] struct {
	columns []C
	out     *tabwriter.Writer
}

// NewTable begins a table at the end of a report. Close adds the table to the report.
func NewTable[C any](r *Report, columns []C) *Table[C] {
	return &Table[C]{columns, tabwriter.NewWriter(r, 0, 0, 2, ' ', tabwriter.AlignRight)}
}

// Line adds a line.
func (t *Table[C]) Line(name string, cell func(C) string) {
	fmt.Fprint(t.out, name, "\t")
	for _, c := range t.columns {
		fmt.Fprint(t.out, cell(c), "\t")
	}
	fmt.Fprintln(t.out)
}

// Close ends the table.
func (t *Table[C]) Close() error {
	if err := t.out.Flush(); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
}

// Percentile is the smallest of the sorted values that p percent of them do not exceed; zero without values.
func Percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// Milliseconds prints a time with at least three digits, and zero as "-".
func Milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case d == 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	default:
		return fmt.Sprintf("%.1f ms", ms)
	}
}

// Counts prints counters in the order of their names.
func Counts[N int | float64](of map[string]N) string {
	if len(of) == 0 {
		return "none"
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		words = append(words, fmt.Sprintf("%s %v", name, of[name]))
	}
	return strings.Join(words, ", ")
}
