package fleet

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/promise"
)

var (
	duration = flag.Duration("for", 3*time.Second, "how long each part of the check runs")
	only     = flag.String("fault", "", "only the faults whose names contain this")
	program  = flag.String("server", "", "valkey-server or redis-server; empty: what is installed")
	readers  = flag.Int("readers", 8, "how many read from each proxy")
	enough   = flag.Int64("enough", 0, "end after as many stale reads; 0: do not")
	other    = flag.String("other", "", "another version of the program, which the last of the proxies is; empty: all are what is built here")
	idle     = flag.Duration("idle", 4*time.Millisecond, "pause between two reads of one of them while things break")
)

const (
	// lease is short, so that much can go wrong in little time.
	lease = time.Second
	// patience is how much longer than asked for a machine that is busy has for what is needed to say anything.
	patience = 30 * time.Second
)

var (
	binary string
	all    = promise.NewCheck(0) // the sum of what was read
)

func TestMain(m *testing.M) {
	os.Exit(servers.WithCacheproxy(&binary, func() int {
		status := m.Run()
		if n := all.AtRisk.Load(); n > 0 && testing.Verbose() {
			fmt.Printf("in all %d stale of %d reads at risk (95 %% bound: %.2g)\n", all.Stale.Load(), n, all.Bound())
		}
		return status
	}))
}

// sideBySide has a test that mostly waits for leases and servers run beside others where a developer waits (-short). Elsewhere it has the machine
// for itself: what a fault then meets is the fleet at work, and not one that is short of CPU.
func sideBySide(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Parallel()
	}
}

// rig is a fleet of three, its origin, and its server where there is but one.
type rig struct {
	*Load
	valkey *servers.ValkeyServer
}

func newRig(t *testing.T, keys int, args ...string) *rig {
	t.Helper()
	args = append(args, "--enable-debug-command", "local") // for its pauses
	valkey := servers.Valkey(t, servers.ValkeyOptions{Program: *program, Args: args})
	r := rigOn(t, keys, Settings{Valkey: valkey.Address()})
	r.valkey = valkey
	return r
}

// rigOn makes a fleet that finds Valkey as the settings say.
func rigOn(t *testing.T, keys int, s Settings) *rig {
	t.Helper()
	origin, err := NewOrigin(keys, 20, 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = origin.Close() })
	s.Binary, s.Dir, s.Origin, s.Lease = binary, t.TempDir(), origin.URL(), lease
	return &rig{Load: &Load{Origin: origin, Check: promise.NewCheck(keys), Keys: keys, Members: members(t, 3, s)}}
}

func members(t *testing.T, n int, s Settings) []*Member {
	t.Helper()
	list := make([]*Member, n)
	for i := range list {
		if *other != "" && i == n-1 {
			s.Binary = *other
		}
		m, err := Start(t.Context(), fmt.Sprintf("p%d", i+1), s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
		list[i] = m
	}
	return list
}

// load runs the load while something is done.
func (r *rig) load(t *testing.T, meanwhile func(ctx context.Context)) {
	t.Helper()
	r.Readers = *readers
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	meanwhile(ctx)
	cancel()
	running.Wait()
	t.Log(r.Report())
	all.AtRisk.Add(r.Check.AtRisk.Load())
	all.Stale.Add(r.Check.Stale.Load())
	for _, f := range r.Check.Findings() {
		t.Error(f)
	}
}

// breaking runs the load while one fault follows another, beginning with the one of that name; empty: with any.
func (r *rig) breaking(t *testing.T, faults []Fault, first string) {
	t.Helper()
	faults = slices.DeleteFunc(faults, func(f Fault) bool { return !strings.Contains(f.Name, *only) })
	if len(faults) == 0 {
		t.Skip("no fault here has such a name")
	}
	r.Pause, r.Purge, r.Write = *idle, 20*time.Millisecond, 40*time.Millisecond
	done := map[string]int{}
	r.load(t, func(ctx context.Context) {
		pause(ctx, time.Second)
		for end := time.Now().Add(*duration); time.Now().Before(end) && !r.seenEnough(); {
			f := faults[rand.IntN(len(faults))]
			if i := slices.IndexFunc(faults, func(f Fault) bool { return f.Name == first }); i >= 0 && len(done) == 0 {
				f = faults[i]
			}
			done[f.Name]++
			if err := f.Do(ctx); err != nil {
				t.Errorf("%s: %v", f.Name, err)
				return
			}
			pause(ctx, 2*lease)
		}
	})
	t.Logf("faults: %v", done)
	if r.Check.AtRisk.Load() < 100 || r.Purges.Load() == 0 || r.Writes.Load() == 0 {
		t.Error("too little happened to say anything")
	}
}

func (r *rig) seenEnough() bool { return *enough > 0 && r.Check.Stale.Load() >= *enough }

// quiet runs the load for a while in which nothing fails.
func (r *rig) quiet(t *testing.T) {
	t.Helper()
	r.Purge, r.Write = 10*time.Millisecond, 20*time.Millisecond
	little := func() bool { return r.Check.AtRisk.Load() < 1000 || r.Purges.Load() < 20 || r.Writes.Load() < 20 }
	r.load(t, func(ctx context.Context) {
		began := time.Now()
		for !r.seenEnough() && (time.Since(began) < *duration || little() && time.Since(began) < *duration+patience) {
			pause(ctx, 200*time.Millisecond)
		}
	})
	if little() && !r.seenEnough() {
		t.Error("too little happened to say anything")
	}
	if r.Check.Refused.Load()+r.Check.Failed.Load() > 0 {
		t.Error("nothing was broken, and yet reads were not answered")
	}
	// A machine that stands still for a third of the lease is as good as a server that does not answer: then writes are refused.
	if n := r.Unconfirmed.Load(); n > (r.Purges.Load()+r.Writes.Load())/200 {
		t.Errorf("nothing was broken, and yet %d purges and writes were not confirmed: %s", n, strings.Join(r.Reasons(), "; "))
	}
}

// No read that is asked for after a purge or a write was acknowledged, on any member, sees what was there before.
func TestNothingStale(t *testing.T) {
	t.Run("one server", func(t *testing.T) { newRig(t, 400).quiet(t) })
	t.Run("cluster of three", func(t *testing.T) {
		var nodes []string
		for _, n := range servers.ValkeyCluster(t, *program) {
			nodes = append(nodes, n.Address())
		}
		rigOn(t, 400, Settings{Find: fmt.Sprintf("url: \"valkey://%s\"", strings.Join(nodes, ","))}).quiet(t)
	})
}

// The same while proxies, the network and the server fail.
func TestNothingStaleUnderFaults(t *testing.T) {
	sideBySide(t)
	for _, persistence := range []struct {
		name string
		args []string
	}{
		{"with AOF", []string{"--appendonly", "yes"}},
		{"without persistence", nil},
	} {
		t.Run(persistence.name, func(t *testing.T) {
			sideBySide(t)
			r := newRig(t, 400, persistence.args...)
			r.breaking(t, Faults(r.Members, r.valkey, lease), "")
		})
	}
}

// The same while a sentinel replaces the server. Where nothing is acknowledged before a replica has it, a failover may lose what
// was: whoever has applied it writes it again.
func TestNothingStaleAfterFailover(t *testing.T) {
	sideBySide(t)
	for durable, first := range map[bool]string{true: Replaced, false: Lost} {
		t.Run(fmt.Sprintf("durable %v", durable), func(t *testing.T) {
			sideBySide(t)
			s := servers.StartValkeySentinel(t, *program, Guarded()...)
			if err := ReplaceAfter(t.Context(), s, GuardedAfter(lease)); err != nil {
				t.Fatal(err)
			}
			r := rigOn(t, 400, Settings{
				Find:    fmt.Sprintf("sentinel: {master: %s, addresses: [\"%s\"]}", servers.SentinelMaster, s.Sentinel.Address()),
				Durable: durable,
			})
			lost := func(n int) { t.Logf("a failover loses %d entries", n) }
			r.breaking(t, Failovers(r.Members, s, lease, lost), first)
		})
	}
}

// Of 500 requests for one cold key that three members get at the same time, one goes to the origin.
func TestOneFetchForAll(t *testing.T) {
	r := newRig(t, 50)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 500}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	once := 0
	for round := range 6 {
		before := r.Origin.Requests()
		var waiting sync.WaitGroup
		start := make(chan struct{})
		for i := range 500 {
			base, _ := r.Members[i%3].Data()
			waiting.Go(func() {
				<-start
				request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/v/%d", base, round), nil)
				if err != nil {
					t.Error(err)
					return
				}
				request.Host = host
				res, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					t.Errorf("status %d, Cache-Status: %s", res.StatusCode, res.Header.Get("Cache-Status"))
				}
			})
		}
		close(start)
		waiting.Wait()
		n := r.Origin.Requests() - before
		t.Logf("round %d: %d requests at the origin", round, n)
		if n == 1 {
			once++
		}
	}
	// A machine that is short of CPU, as with 500 new connections in the first round, can keep a claim waiting for Valkey for
	// longer than it waits: then each member fetches for itself.
	if once < 3 {
		t.Errorf("%d of 6 times one request went to the origin", once)
	}
}

// What one member has fetched is a hit for all.
func TestCopiesAreShared(t *testing.T) {
	r := newRig(t, 10)
	get := func(m *Member) string {
		base, _ := m.Data()
		_, h, _, err := r.callOnce(t.Context(), base+"/v/3")
		if err != nil {
			t.Fatal(err)
		}
		return h.Get("Cache-Status")
	}
	get(r.Members[0])
	deadline := time.Now().Add(5 * time.Second)
	for !strings.Contains(get(r.Members[1]), "hit") {
		if time.Now().After(deadline) {
			t.Fatal("no hit on the second member")
		}
	}
	if n := r.Origin.Requests(); n != 1 {
		t.Errorf("%d requests at the origin, want 1", n)
	}
}

func (l *Load) callOnce(ctx context.Context, url string) (int, http.Header, string, error) {
	l.client = http.DefaultClient
	return l.call(ctx, http.MethodGet, url, "")
}
