package conformance

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	update  = flag.Bool("update", false, "write what the suite says now to testdata")
	require = flag.Bool("require", false, "fail, instead of skip, where node and npm or the suite cannot be had")
)

// attempts is how often a test that was passed before may be run until it is passed again. Tests wait for seconds by the
// clock and count on lifetimes of two or three: on a busy machine some come late.
const attempts = 4

// setups are the ways in which the proxy is run.
var setups = []struct {
	name   string
	args   func(t *testing.T, upstream string) []string
	argued map[string]string // why a required or optimal test is not passed, by id
}{
	{
		name:   "upstream", // as it comes
		args:   func(_ *testing.T, upstream string) []string { return []string{"--upstream", upstream} },
		argued: exceptions,
	},
	{
		name:   "cookies", // with the safeties about cookies relaxed
		args:   relaxed,
		argued: together(without(exceptions, cookieTests), fileTests),
	},
}

func relaxed(t *testing.T, upstream string) []string {
	text, err := os.ReadFile("testdata/cookies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cookies.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "http://127.0.0.1:9000", upstream)), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--config", path}
}

// Everything that was passed before still is, and what is not has its reason.
func TestSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite waits for half a minute")
	}
	s := install(t)
	for _, setup := range setups {
		t.Run(setup.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata", setup.name+".txt")
			committed, err := readResults(file)
			if err != nil && !*update {
				t.Fatal(err)
			}
			r := s.start(t, setup.args)
			got := r.run(t)
			for n := 1; n < attempts && len(worse(committed, got)) > 0; n++ {
				got = r.run(t, worse(committed, got)...)
			}
			t.Log(got.summary())
			if *update {
				if err := got.write(file); err != nil {
					t.Fatal(err)
				}
				committed = got
			}
			for _, id := range worse(committed, got) {
				t.Errorf("%s was passed before and is not any more: %s", id, got[id])
			}
			for _, id := range worse(got, committed) {
				t.Logf("%s is passed now; if it stays so, write it down: make conformance-update", id)
			}
			for _, id := range committed.failed() {
				if setup.argued[id] == "" {
					t.Errorf("%s is not passed, and exceptions_test.go has no argument why: %s", id, committed[id])
				}
			}
			for _, id := range slices.Sorted(maps.Keys(setup.argued)) {
				if committed[id].verdict == "pass" {
					t.Errorf("%s is argued to be an exception in exceptions_test.go, and passed", id)
				}
			}
		})
	}
}

// Every test that the suite has is in the results, so that none is left out unnoticed.
func TestResultsAreComplete(t *testing.T) {
	for _, setup := range setups {
		committed, err := readResults(filepath.Join("testdata", setup.name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for id, r := range committed {
			counts[r.kind]++
			if r.verdict == "untested" || r.verdict == "harness" {
				t.Errorf("%s: %s was not tested: %s", setup.name, id, r)
			}
		}
		if want := map[string]int{"required": 165, "optimal": 95, "check": 90}; !maps.Equal(counts, want) {
			t.Errorf("%s: %v tests, want %v", setup.name, counts, want)
		}
	}
}

// worse is the tests that are passed in before and not in after. What changed is judged for all kinds: a check that
// answers differently is a change of behaviour.
func worse(before, after results) []string {
	var ids []string
	for id, r := range before {
		if r.verdict == "pass" && after[id].verdict != "pass" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// A result that got worse is found, one that got better is not, and neither is what always failed.
func TestWorse(t *testing.T) {
	before := results{"a": {verdict: "pass"}, "b": {verdict: "pass"}, "c": {verdict: "fail"}, "d": {verdict: "fail"}, "gone": {verdict: "pass"}}
	after := results{"a": {verdict: "pass"}, "b": {verdict: "dependency"}, "c": {verdict: "pass"}, "d": {verdict: "fail"}}
	if got, want := fmt.Sprint(worse(before, after)), "[b gone]"; got != want {
		t.Errorf("worse = %s, want %s", got, want)
	}
}
