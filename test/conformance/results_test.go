package conformance

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// results is what the suite found, by the id of the test.
type results map[string]result

type result struct {
	kind    string // required, optimal or check
	verdict string // pass, or what else
	why     string // what the suite says of it where it was not passed
}

func (r result) String() string {
	if r.why == "" {
		return r.kind + " " + r.verdict
	}
	return fmt.Sprintf("%s %s (%s)", r.kind, r.verdict, r.why)
}

// readResults reads a file of lines "kind verdict id".
func readResults(path string) (results, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read results: %w; make conformance-update writes them", err)
	}
	defer f.Close()
	all := results{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			return nil, fmt.Errorf("read results: %s:%d: %q is not kind, verdict and id", path, n, lines.Text())
		}
		all[fields[2]] = result{kind: fields[0], verdict: fields[1]}
	}
	return all, lines.Err()
}

func (all results) write(path string) error {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintln(&b, all[id].kind, all[id].verdict, id)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// failed is the required and optimal tests that were not passed.
func (all results) failed() []string {
	var ids []string
	for id, r := range all {
		if r.kind != "check" && r.verdict != "pass" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// summary counts what was passed, as published results are counted.
func (all results) summary() string {
	passed, total := map[string]int{}, map[string]int{}
	for _, r := range all {
		total[r.kind]++
		if r.verdict == "pass" {
			passed[r.kind]++
		}
	}
	return fmt.Sprintf("passed: %d of %d required, %d of %d optimal; %d of %d checks answered with yes",
		passed["required"], total["required"], passed["optimal"], total["optimal"], passed["check"], total["check"])
}
