// Command slow reads what `go test -json` printed and says where the time of a run goes: which packages take long, whether
// they work or wait meanwhile, and which of their tests it is. make test-slow gives it a run of all tests.
//
//	go test -json -exec $PWD/test/cputime ./... | go run ./test/slow
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Shorter than these nothing is listed.
const (
	slowPackage = 2 * time.Second
	slowTest    = time.Second
)

func main() {
	r, err := read(os.Stdin)
	if err == nil {
		err = r.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "slow:", err)
		os.Exit(1)
	}
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Time                          time.Time
	Action, Package, Test, Output string
	Elapsed                       float64
}

// test is a test, or with an empty name a whole package. A package can run twice, with the race detector and without it.
type test struct {
	pkg, name string
	elapsed   time.Duration
	cpu       time.Duration // of a package; negative: not measured
	tests     int           // of a package: how many ran, subtests included
}

type run struct {
	first, last time.Time
	packages    []test
	tests       []test
	failed      []string
}

func read(from io.Reader) (*run, error) {
	r := &run{}
	cpu, ran := map[string]time.Duration{}, map[string]int{} // by package, until that ends
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Package == "" || e.Time.IsZero() {
			continue // what make or the go command says between
		}
		if r.first.IsZero() || e.Time.Before(r.first) {
			r.first = e.Time
		}
		if e.Time.After(r.last) {
			r.last = e.Time
		}
		var user, system float64
		if n, _ := fmt.Sscanf(e.Output, "CPUTIME %f %f", &user, &system); n == 2 {
			cpu[e.Package] = seconds(user + system)
		}
		if e.Action == "fail" {
			r.failed = append(r.failed, strings.TrimSpace(e.Package+" "+e.Test))
		}
		if e.Action != "pass" && e.Action != "fail" {
			continue
		}
		if e.Test != "" {
			ran[e.Package]++
			r.tests = append(r.tests, test{pkg: e.Package, name: e.Test, elapsed: seconds(e.Elapsed)})
			continue
		}
		used, known := cpu[e.Package]
		if !known {
			used = -1
		}
		r.packages = append(r.packages, test{pkg: e.Package, elapsed: seconds(e.Elapsed), cpu: used, tests: ran[e.Package]})
		delete(cpu, e.Package)
		delete(ran, e.Package)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	if len(r.packages) == 0 {
		return nil, errors.New("no package ended in what was read: give it the output of go test -json")
	}
	return r, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (r *run) print(to io.Writer) error {
	var elapsed, cpu time.Duration
	for _, p := range r.packages {
		elapsed, cpu = elapsed+p.elapsed, cpu+max(0, p.cpu)
	}
	fmt.Fprintf(to, "%.0f s from the first test to the last; the packages took %.0f s one by one, and %.0f s of the processor.\n", r.last.Sub(r.first).Seconds(), elapsed.Seconds(), cpu.Seconds())
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\nseconds\tof the processor\ttests\t  package\n")
	for _, p := range longest(r.packages, slowPackage) {
		fmt.Fprintf(table, "%.1f\t%s\t%d\t  %s\n", p.elapsed.Seconds(), work(p), p.tests, p.pkg)
	}
	fmt.Fprint(table, "\nseconds\t  test\n")
	for _, p := range longest(r.tests, slowTest) {
		fmt.Fprintf(table, "%.1f\t  %s %s\n", p.elapsed.Seconds(), p.pkg, p.name)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if len(r.failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(r.failed, ", "))
	}
	return nil
}

// longest are those that took at least so long, beginning with the longest.
func longest(all []test, atLeast time.Duration) []test {
	long := slices.DeleteFunc(slices.Clone(all), func(t test) bool { return t.elapsed < atLeast })
	slices.SortStableFunc(long, func(a, b test) int { return int(b.elapsed - a.elapsed) })
	return long
}

// work says what a package did with its time. One that waits can run beside one that works; one that works has to work less.
func work(p test) string {
	switch {
	case p.cpu < 0:
		return "?"
	case p.cpu >= p.elapsed*2/3:
		return fmt.Sprintf("%.1f, works", p.cpu.Seconds())
	case p.cpu <= p.elapsed/3:
		return fmt.Sprintf("%.1f, waits", p.cpu.Seconds())
	default:
		return fmt.Sprintf("%.1f", p.cpu.Seconds())
	}
}
