package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cacheproxy/test/servers"
)

// bodiesInValkey is a load that is about Valkey, of a few objects.
func bodiesInValkey(t *testing.T) load {
	t.Helper()
	for _, l := range allLoads() {
		if l.valkey {
			l.paths = objects(l.size, probes)
			return l
		}
	}
	t.Fatal("there is no load that is about Valkey")
	return load{}
}

// What the loop does not find in Valkey, or finds as other bytes, is no answer that a figure is given for.
func TestBodiesComeOutOfValkey(t *testing.T) {
	b := &bed{dir: t.TempDir(), load: bodiesInValkey(t), valkey: servers.Valkey(t, servers.ValkeyOptions{}), origin: &server{}}
	s := &session{heads: map[string][]string{realistic: makeHeads(5, 1)}}
	paths := b.load.paths()
	for _, c := range []struct {
		name   string
		change []string // a command; none: nothing is changed
		want   string   // of the error; empty: none
	}{
		{"as written", nil, ""},
		{"missing", []string{"DEL", bodyKey(paths[1])}, "404"},
		{"cut off", []string{"SET", bodyKey(paths[2]), strings.Repeat("x", b.load.size-1)}, "404"},
		{"other bytes", []string{"SET", bodyKey(paths[0]), strings.Repeat("y", b.load.size)}, "other bytes"},
		{"no string", []string{"EVAL", "redis.call('DEL', KEYS[1]) return redis.call('LPUSH', KEYS[1], 'x')", "1", bodyKey(paths[0])}, "404"},
		{"as written again", nil, ""}, // whoever starts writes them all
	} {
		of, err := b.startOne(t.Context(), bareGetPeer())
		if err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			if _, err := b.valkey.CLI(t.Context(), c.change...); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.probe(t.Context(), b, of, realistic, paths)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err := of.process.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// Answers that do not come from Valkey have no figure where the load is about that.
func TestAnswersFromElsewhereAreNotOfValkey(t *testing.T) {
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skipf("%v", errNoWrk)
	}
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	o, err := parseOptions([]string{"--rounds", "1", "--heads", realistic})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &session{options: o, base: bed{dir: dir}, script: script, heads: map[string][]string{realistic: makeHeads(5, 1)},
		peers: []peer{limit(bareLoop, func(load) bool { return true }), bareGetPeer()}, progress: io.Discard}
	runs, err := s.measure(t.Context(), bodiesInValkey(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2 || !strings.Contains(runs[0].Error, "found a copy in Valkey") {
		t.Fatalf("%+v, want an error that says how many found a copy", runs)
	}
	if one := runs[1]; one.Error != "" || one.CPU <= 0 || one.Valkey <= 0 {
		t.Errorf("%+v, want figures, of Valkey too", one)
	}
}

// The server's figures and Valkey's stand beside each other, and only where a load is about Valkey.
func TestValkeysTimeIsApart(t *testing.T) {
	r := &report{}
	for _, l := range allLoads() {
		if l.valkey || l.name == "hit" {
			r.add(l, []run{
				{Peer: ours, Heads: realistic, Rate: 100, CPU: 61.5, Valkey: 20.25},
				{Peer: bareGet, Heads: realistic, Rate: 300, CPU: 30.75, Valkey: 8.75},
			})
		}
	}
	for _, w := range r.Rows {
		c, ok := w.find(bareGet, realistic)
		if ofValkey := w.Load == "l2"; !ok || c.Ratio != 2 || (c.Valkey != nil) != ofValkey || ofValkey && c.Valkey.Median != 8.75 {
			t.Errorf("%s: %+v, want ratio 2, and Valkey's time where the load is about it", w.Load, c)
		}
		var out strings.Builder
		if err := r.printRow(&out, w); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "of Valkey") && strings.Contains(out.String(), "8.8"); got != (w.Load == "l2") || !strings.Contains(out.String(), "2.00") {
			t.Errorf("%s is printed as:\n%s", w.Load, out.String())
		}
	}
	plot := plotOf(r)
	for _, one := range plot.Panels {
		if len(one.Bars) != 2 || one.Bars[1].Peer != bareGet || one.Bars[1].Class != "limit" {
			t.Errorf("plot of %q: %+v", one.Title, one.Bars)
		}
	}
}
