package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"cacheproxy/test/system/bench"
)

// readReport reads the report of an earlier run.
func readReport(file string) (*report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	return r, nil
}

// printAll prints a report as the run printed it.
func (r *report) printAll(w io.Writer) error {
	if err := r.printSetting(w); err != nil {
		return err
	}
	for _, one := range r.Rows {
		if err := r.printRow(w, one); err != nil {
			return err
		}
	}
	for _, one := range r.Latency {
		if err := one.print(w); err != nil {
			return err
		}
	}
	if err := printChurn(w, r.Churn); err != nil {
		return err
	}
	return printMemory(w, r.Memory)
}

// printSummary prints the CPU time of all loads and peers in one table, in Markdown.
func (r *report) printSummary(w io.Writer) error {
	if len(r.Rows) == 0 {
		return nil
	}
	var peers []string
	for _, p := range allPeers() {
		for _, one := range r.Rows {
			if one.has(realistic, p.name) || one.has(constants, p.name) {
				peers = append(peers, p.name)
				break
			}
		}
	}
	var out bench.Report
	fmt.Fprint(&out, "\nCPU time per request in microseconds; in parentheses, how many times that the proxy takes:\n\n")
	fmt.Fprintf(&out, "| load | %s |\n| --- |%s\n", strings.Join(peers, " | "), strings.Repeat(" ---: |", len(peers)))
	for _, heads := range []string{realistic, constants} {
		for _, one := range r.Rows {
			if !one.has(heads, "") {
				continue
			}
			title := one.Title
			if heads == constants {
				title += ", constant heads"
			}
			fmt.Fprintf(&out, "| %s |", title)
			for _, name := range peers {
				fmt.Fprintf(&out, " %s |", one.summary(name, heads))
			}
			fmt.Fprintln(&out)
		}
	}
	return out.Print(w)
}

func (w row) summary(peer, heads string) string {
	c, ok := w.find(peer, heads)
	switch {
	case !ok || c.CPU.Median == 0:
		return ""
	case peer == ours:
		return fmt.Sprintf("%.1f", c.CPU.Median)
	default:
		return fmt.Sprintf("%.1f (%.2f)", c.CPU.Median, c.Ratio)
	}
}
