//go:build !race

package fleet

import (
	"flag"
	"maps"
	"slices"
	"testing"
	"time"
)

var (
	simSeeds = flag.Int("sim-seeds", 3, "seeds of each simulation")
	simFirst = flag.Uint64("sim-first", 1, "the first seed")
	simTime  = flag.Duration("sim-time", 30*time.Second, "simulated time of each seed")
)

// No read that arrives after a purge or a write was acknowledged sees what was there before, whatever goes wrong. With -v it
// tells how many reads there were, and what went wrong meanwhile.
func TestSimulation(t *testing.T) {
	for _, c := range []struct {
		name string
		faults
		must []string // that have to have happened, or nothing was tested
	}{
		{"quiet", faults{}, []string{"from shared", "refused fills", "kept", "witnessed", "concluded"}},
		{"instances", faults{partitions: true, pauses: true, crashes: true}, []string{"reaped", "snapshots", "without lease", "kept"}},
		{"failovers", faults{failovers: true, partitions: true, pauses: true, crashes: true}, []string{"diverged", "reaped", "heard", "witnessed", "concluded"}},
		{"failovers under stress", faults{failovers: true, partitions: true, pauses: true, crashes: true, stress: true}, []string{"diverged"}},
		{"losses", faults{losses: true}, []string{"losses", "emptied", "cuts", "diverged", "kept"}},
		{"losses and partitions", faults{losses: true, partitions: true, pauses: true}, []string{"losses", "emptied", "cuts", "diverged", "reaped", "kept"}},
		{"long writes", faults{longWrites: true, shortLog: true, partitions: true, pauses: true}, []string{"long writes", "snapshots", "reaped", "kept"}},
		{"failovers without replicas", faults{failovers: true, unreplicated: true, crashes: true, partitions: true, pauses: true}, []string{"diverged", "crashes"}},
		{"servers that know nobody", faults{failovers: true, unreplicated: true, restarts: true, forgets: true}, []string{"diverged"}},
		{"servers that return", faults{failovers: true, unreplicated: true, returns: true}, []string{"diverged", "returns"}},
		{"restored servers", faults{restores: true}, []string{"diverged", "restores", "emptied", "snapshots"}},
		{"leases of different length", faults{unequal: true, partitions: true, pauses: true, crashes: true}, []string{"reaped"}},
		{"servers without a name", faults{nameless: true, failovers: true, unreplicated: true, returns: true}, []string{"failovers", "without lease"}},
		{"strangers", faults{strangers: true, partitions: true, pauses: true, crashes: true}, []string{"foreign", "phantoms", "unlisted", "unlisted alone", "snapshots", "reaped", "waited out", "kept"}},
		{"fifty instances", faults{instances: 50, partitions: true, pauses: true, crashes: true}, []string{"reaped", "kept"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seeds, duration := *simSeeds, *simTime
			if c.instances > 10 {
				seeds, duration = (seeds+3)/4, duration/2
			}
			total := map[string]int{}
			for n := range seeds {
				seed := *simFirst + uint64(n)
				w := newWorld(c.faults, seed)
				w.run(duration)
				for k, v := range w.count {
					total[k] += v
				}
				for _, finding := range w.findings {
					t.Errorf("seed %d: %s", seed, finding)
				}
			}
			must := append(c.must, "reads", "purges", "writes", "from origin")
			if !c.nameless {
				must = append(must, "not kept", "from memory")
			}
			for _, must := range must {
				if total[must] == 0 {
					t.Errorf("no %s: nothing was tested", must)
				}
			}
			for _, k := range slices.Sorted(maps.Keys(total)) {
				t.Logf("%s: %d", k, total[k])
			}
		})
	}
}

// A seed decides everything, so that what it found can be found again.
func TestSimulationIsRepeatable(t *testing.T) {
	run := func() map[string]int {
		w := newWorld(faults{failovers: true, partitions: true, pauses: true, crashes: true, losses: true}, 42)
		w.run(20 * time.Second)
		return w.count
	}
	if a, b := run(), run(); !maps.Equal(a, b) {
		t.Errorf("the same seed gave %v and %v", a, b)
	}
}
