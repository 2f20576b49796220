package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command runs itself for what has to be a process of its own.
func TestMain(m *testing.M) {
	if done, err := subcommand(os.Args[1:]); done {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestMeasuresTheProxyBesideALimit(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the proxy and takes seconds")
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skipf("%v", errNoWrk)
	}
	dir := t.TempDir()
	jsonFile, svgFile := filepath.Join(dir, "bench.json"), filepath.Join(dir, "bench.svg")
	loads := []string{"hit", "miss", "h2", latencyName}
	err := runBench(t.Context(), []string{"--loads", strings.Join(loads, ","), "--peers", "cacheproxy,loop,ReverseProxy," + bareGet, "--rounds", "1",
		"--heads", realistic, "--rate", "200", "--json", jsonFile, "--svg", svgFile})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != len(loads)-1 || len(r.Latency) != 2 {
		t.Errorf("%d rows and %d of latency, want %d and 2", len(r.Rows), len(r.Latency), len(loads)-1)
	}
	for _, one := range r.Runs {
		if one.Error != "" || one.Rate <= 0 || one.CPU <= 0 {
			t.Errorf("%s, %s: %+v", one.Load, one.Peer, one)
		}
		if one.Peer == ours && one.Load == "hit" && !strings.Contains(one.Answer, "hit") {
			t.Errorf("a hit says of itself %q", one.Answer)
		}
	}
	checkXML(t, svgFile)
	if err := runBench(t.Context(), []string{"--from", jsonFile}); err != nil {
		t.Errorf("print it again: %v", err)
	}
}

func checkXML(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	texts := 0
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("read plot: %v", err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "text" {
			texts++
		}
	}
	if texts < 12 {
		t.Errorf("the plot has %d texts, want those of all bars", texts)
	}
}

// A load that is not what it says has no figure.
func TestRequestsThatReachTheOriginAreNoHits(t *testing.T) {
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skipf("%v", errNoWrk)
	}
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	o, err := parseOptions([]string{"--rounds", "1", "--heads", constants})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		t.Fatal(err)
	}
	notACache := limit(reverseProxy, func(load) bool { return true })
	notACache.limit = false
	s := &session{options: o, base: bed{dir: dir}, script: script, heads: map[string][]string{realistic: {constantHead}, constants: {constantHead}},
		peers: []peer{notACache}, progress: io.Discard}
	runs, err := s.measure(t.Context(), allLoads()[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 1 || !strings.Contains(runs[0].Error, "reached the origin") {
		t.Errorf("%+v, want an error that says how many reached the origin", runs)
	}
}

// Each server comes first, and none has always the same one before it.
func TestTurnsAreEven(t *testing.T) {
	const servers = 3
	first, before := map[int]int{}, map[[2]int]int{}
	for round := range 2 * servers {
		order := turn(round, servers)
		first[order[0]]++
		for i := range servers - 1 {
			before[[2]int{order[i], order[i+1]}]++
		}
	}
	for i := range servers {
		if first[i] != 2 {
			t.Errorf("server %d comes first in %d rounds of %d, want 2", i, first[i], 2*servers)
		}
		for j := range servers {
			if pair := [2]int{i, j}; i != j && before[pair] != before[[2]int{j, i}] {
				t.Errorf("server %d comes %d times right before %d, and %d times right behind it", i, before[pair], j, before[[2]int{j, i}])
			}
		}
	}
}
