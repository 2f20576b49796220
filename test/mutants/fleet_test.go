package mutants

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	fleetFor = flag.Duration("fleet", 0, "for how long at most a fleet of processes is watched with each rule switched off; 0: not at all")
	server   = flag.String("server", "", "valkey-server or redis-server; empty: what is installed")
)

// broken is one rule switched off in the processes of a fleet.
type broken struct {
	name  string
	edits []edit
	run   string // the test of the fleet that must find stale reads
	fault string // what has to break for that; empty: nothing
}

const (
	quiet  = "TestNothingStale/one_server"
	faulty = "TestNothingStaleUnderFaults/without_persistence"
)

var fleet = []broken{
	{name: "no token", edits: stampLate, run: quiet},
	{name: "no join rule", edits: joinAlways, run: quiet},
	{
		name:  "copies of other instances are taken for new",
		edits: []edit{{"invalidation/fleet/positions.go", "			return invalidation.TokenAt(at.Seq + s.offset), true", "			return invalidation.TokenAt(p.local), true"}},
		run:   quiet,
	},
	{name: "a lease never lapses", edits: holdForever, run: faulty, fault: "cut off"},
	{
		name:  "other instances are not waited for",
		edits: []edit{{"invalidation/fleet/confirmation.go", "		if now.Sub(c.begun) < invalidation.Timeout(p.lease()) {", "		if false {"}},
		run:   faulty, fault: "cut off",
	},
	{
		name:  "the end of a write is not waited for",
		edits: []edit{{"proxy/write.go", "		w.end(invalidation.Order{Members: named, Older: older, Placed: keeps})", "		go w.end(invalidation.Order{Members: named, Older: older, Placed: keeps})"}},
		run:   faulty, fault: "cut off",
	},
}

var staleReads = regexp.MustCompile(`([1-9]\d*) stale of \d+ reads at risk`)

// With each rule switched off, the same load on the same fleet sees stale reads.
func TestBrokenRulesAreSeenOnAFleet(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range fleet {
		mutant{edits: b.edits}.overlay(t, root) // the rule is still where it is to be broken
	}
	if *fleetFor == 0 {
		t.Skip("takes minutes; run with -fleet 1m, as make soak does")
	}
	for _, b := range fleet {
		t.Run(b.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count", "1", "-v", "-run", "^"+strings.ReplaceAll(b.run, "/", "$/^")+"$", "./fleet",
				"-args", "-enough", "10", "-for", fleetFor.String(), "-fault", b.fault, "-server", *server, "-idle", time.Millisecond.String())
			cmd.Dir = filepath.Join(root, "test/system")
			// The proxies are built in the course of the test.
			cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+mutant{edits: b.edits}.overlay(t, root))
			out, err := cmd.CombinedOutput()
			seen := staleReads.Find(out)
			if err == nil || seen == nil {
				t.Fatalf("no stale reads with the rule switched off: %v\n%s", err, out)
			}
			t.Logf("%s", seen)
		})
	}
}
