package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/bench"
)

var (
	duration = flag.Duration("for", 20*time.Second, "how long scores are submitted")
	writes   = flag.Int("writes", 500, "submissions a second")
	reads    = flag.Int("reads", 100, "reads a second")
	players  = flag.Int("players", 20_000, "how many there are")
	window   = flag.Duration("window", 10*time.Second, "of the board")
	bucket   = flag.Duration("bucket", time.Second, "of the window")
	alone    = flag.Duration("alone", 0, "how long PostgreSQL does the same by itself")
)

var program string

func TestMain(m *testing.M) { os.Exit(servers.WithCacheproxy(&program, m.Run)) }

const top = 100

const configuration = `
drain_delay: 0s
log: {hits: 0%%, others: 0%%, level: warn}
valkey: {url: "valkey://%s", secrets: [0123456789abcdef0123456789abcdef], signatures: require}
postgres: {url: "%s"}
upstreams: [{name: game, url: "http://127.0.0.1:9", host: upstream}]
routes:
  - name: scores
    match: ["POST /games/{game}/scores", "GET /games/{game}/leaderboard"]
    upstream: game
    policy: leaderboard
    leaderboard: {board: "{game}", window: %s, bucket: %s, ranks: %d, authorize: none, archive: {submissions: true, retention: 24h}}
`

// run is two instances with their servers.
type run struct {
	*testing.T
	valkey    *servers.ValkeyServer
	postgres  *servers.PostgresServer
	database  database
	instances [2]atomic.Pointer[servers.Cacheproxy]
	text      string // their configuration
	faulty    bool   // what fails is not wrong
	client    *http.Client
	model     *model

	mu        sync.Mutex
	latencies map[string][]time.Duration
	probes    map[string]*probe
	wrong     []error
	refused   map[string]int // answers that say that the records were not reached in time, which is no wrong answer
	missed    atomic.Int64   // turns that came too late, since the machine or the proxy was too slow
}

// probe is a submission that is at the top of the board as soon as it is there.
type probe struct {
	sent, acked time.Time
	shown       [2]time.Time // to whoever asks each instance
}

func start(t *testing.T, window, bucket time.Duration, persistence ...string) *run {
	r := &run{
		T: t, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second}},
		model: newModel(window, bucket, top), latencies: map[string][]time.Duration{}, probes: map[string]*probe{}, refused: map[string]int{},
	}
	r.valkey = servers.Valkey(t, servers.ValkeyOptions{Args: append([]string{"--maxmemory-policy", "noeviction", "--latency-monitor-threshold", "100"}, persistence...)})
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if r.postgres, err = servers.StartPostgres(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.postgres.Stop() })
	r.database = connect(t, r.postgres.URL())
	r.text = fmt.Sprintf(configuration, r.valkey.Address(), r.postgres.URL(), window, bucket, top)
	file := filepath.Join(t.TempDir(), "install.yaml")
	if err := os.WriteFile(file, []byte(r.text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "pg", "install", file).CombinedOutput(); err != nil {
		t.Fatalf("pg install: %v\n%s", err, out)
	}
	for i := range r.instances {
		r.begin(i)
	}
	r.await("the first look of the archive", func() bool {
		for i := range r.instances {
			if _, err := r.read(i); err != nil {
				return false
			}
		}
		return true
	})
	return r
}

// begin starts an instance, in the place of the one before.
func (r *run) begin(instance int) {
	r.Helper()
	p, err := servers.StartCacheproxy(r.Context(), program, r.TempDir(), r.text)
	if err != nil {
		r.Fatal(err)
	}
	r.instances[instance].Store(p)
	r.Cleanup(func() {
		if r.Failed() {
			r.Logf("an instance said:\n%s", p.Process.Output())
		}
		_ = p.Process.Stop()
	})
}

// await waits until something is so.
func (r *run) await(what string, is func() bool) {
	r.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(2 * time.Minute); !is(); <-again.C {
		if time.Now().After(end) {
			r.Fatalf("waited in vain for %s", what)
		}
	}
}

func (r *run) took(what string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latencies[what] = append(r.latencies[what], d)
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faulty {
		return
	}
	r.wrong = append(r.wrong, err)
}

var errRefused = errors.New("the records were not reached")

func (r *run) refuse(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[what]++
}

// submit submits a score to one instance, and tells the model.
func (r *run) submit(instance int, player string, score int64) {
	s := r.model.send(player, score)
	body := fmt.Sprintf(`{"player":%q,"score":%d}`, player, score)
	response, err := r.client.Post(r.instances[instance].Load().URL+"/games/chess/scores", "application/json", strings.NewReader(body))
	if err != nil {
		r.model.ended(s, false)
		r.fail(err)
		return
	}
	answer, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	r.model.ended(s, response.StatusCode/100 == 2)
	r.took("submit", time.Since(s.sent))
	if response.StatusCode == http.StatusServiceUnavailable {
		r.refuse("submit")
	} else if response.StatusCode/100 != 2 {
		r.fail(fmt.Errorf("submit: %s: %s", response.Status, answer))
	}
}

// read reads the top of the board from one instance.
func (r *run) read(instance int) ([]entry, error) {
	response, err := r.client.Get(r.instances[instance].Load().URL + "/games/chess/leaderboard?top=100")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusNotFound && bytes.Contains(body, []byte("board")) {
		return nil, nil
	}
	if response.StatusCode == http.StatusServiceUnavailable {
		return nil, errRefused
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read: %s: %s", response.Status, body)
	}
	var board struct{ Entries []entry }
	return board.Entries, json.Unmarshal(body, &board)
}

// look reads, and holds what was read against the model.
func (r *run) look(instance int) {
	sent := time.Now()
	board, err := r.read(instance)
	answered := time.Now()
	r.took("read", answered.Sub(sent))
	if err == nil {
		err = r.model.check(board, sent, answered)
	}
	if errors.Is(err, errRefused) {
		r.refuse("read")
		return
	}
	if err != nil {
		r.fail(fmt.Errorf("instance %d: %w", instance, err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range board {
		if p := r.probes[e.Player]; p != nil && p.shown[instance].IsZero() {
			p.shown[instance] = answered
		}
	}
}

// pace calls do so often a second, each time in a goroutine of a few, until end. A turn that none of them is free for is missed.
func (r *run) pace(often int, end time.Time, do func(turn int)) {
	turns := make(chan int)
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for turn := range turns {
				do(turn)
			}
		})
	}
	// A tick for several turns: a timer of a busy machine is late by more than the pause between two.
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began, turn := time.Now(), 0
	for now := range tick.C {
		for ; turn < int(now.Sub(began).Seconds()*float64(often)); turn++ {
			select {
			case turns <- turn:
			case <-time.After(time.Second):
				r.missed.Add(1)
			}
		}
		if now.After(end) {
			break
		}
	}
	close(turns)
	workers.Wait()
}

func TestLoad(t *testing.T) {
	if *alone > 0 {
		t.Run("PostgreSQL alone", func(t *testing.T) { postgresAlone(t) })
	}
	r := start(t, *window, *bucket, "--appendonly", "yes")
	before, waited := r.cpu(), r.waits()
	memory := r.watchMemory()
	began := time.Now()
	end := began.Add(*duration)
	var parts sync.WaitGroup
	parts.Go(func() {
		r.pace(*writes, end, func(turn int) {
			r.submit(turn%2, fmt.Sprintf("player-%d", rand.IntN(*players)), rand.Int64N(1_000_000))
		})
	})
	parts.Go(func() { r.pace(*reads, end, func(turn int) { r.look(turn % 2) }) })
	parts.Go(func() { // one in every eighth of a bucket or so, so that it falls anywhere in one; not so many that the board is theirs
		r.pace(2, end, func(turn int) {
			name := fmt.Sprintf("probe-%d", turn)
			r.mu.Lock()
			r.probes[name] = &probe{sent: time.Now()}
			r.mu.Unlock()
			r.submit(turn%2, name, int64(2_000_000+turn))
			r.mu.Lock()
			r.probes[name].acked = time.Now()
			r.mu.Unlock()
		})
	})
	parts.Go(func() {
		r.pace(1, end, func(int) { r.model.forget(time.Now()) })
	})
	parts.Wait()
	lasted := time.Since(began)
	after := r.cpu()
	r.report(lasted, before, after)
	for name, now := range r.waits() {
		t.Logf("%s waited for a core for %.1f %% of the time, over all its threads", name, 100*(now-waited[name]).Seconds()/lasted.Seconds())
	}
	t.Log(r.stalls())
	for i, err := range r.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(r.wrong)-i)
			break
		}
		t.Error(err)
	}
	for what, n := range r.refused {
		if n > len(r.latencies[what])/100 {
			t.Errorf("%s: %d of %d were refused; the machine, or the proxy, is too slow for the load", what, n, len(r.latencies[what]))
		}
	}
	r.flat(memory())
	r.archived()
	r.expired()
}

// expired holds that nothing is left once the window has passed.
func (r *run) expired() {
	latest := r.model.latest()
	<-time.After(time.Until(latest.Add(*window + *bucket + 2*late)))
	for i := range r.instances {
		if board, err := r.read(i); err != nil || len(board) > 0 {
			r.Errorf("after the window %d places are left: %v", len(board), err)
		}
	}
}

func (m *model) latest() (last time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, all := range m.players {
		for _, s := range all {
			if s.acked.After(last) {
				last = s.acked
			}
		}
	}
	return last
}

// cpu is the time that each has used.
func (r *run) cpu() map[string]time.Duration {
	all := map[string]time.Duration{}
	for name, pid := range map[string]int{
		"Valkey": r.valkey.Process().PID(), "PostgreSQL": r.postgres.PID(), "instance 1": r.instances[0].Load().Process.PID(), "instance 2": r.instances[1].Load().Process.PID(),
	} {
		d, err := bench.CPUOfTree(pid)
		if err != nil {
			r.Fatal(err)
		}
		all[name] = d
	}
	return all
}

func (r *run) report(lasted time.Duration, before, after map[string]time.Duration) {
	for _, what := range []string{"submit", "read"} {
		all := r.latencies[what]
		r.Logf("%s: %d, %.0f a second; %s", what, len(all), float64(len(all))/lasted.Seconds(), percentiles(all))
	}
	var fresh, shownAfter []time.Duration
	unseen := 0
	for _, p := range r.probes {
		for _, at := range p.shown {
			if at.IsZero() {
				unseen++
			} else {
				fresh = append(fresh, at.Sub(p.sent))
				shownAfter = append(shownAfter, max(0, at.Sub(p.acked)))
			}
		}
	}
	r.Logf("freshness, from sent to shown, on each instance: %d probes; %s", len(fresh), percentiles(fresh))
	r.Logf("freshness, from acknowledged to the end of the first read that showed it (0: before): %s", percentiles(shownAfter))
	if unseen > 8 { // those of the last moment
		r.Errorf("%d probes were never shown", unseen)
	}
	r.Logf("turns missed: %d; refused with 503: %v; wrong: %d", r.missed.Load(), r.refused, len(r.wrong))
	for _, name := range []string{"Valkey", "PostgreSQL", "instance 1", "instance 2"} {
		r.Logf("CPU of %s: %.1f %% of a core", name, 100*(after[name]-before[name]).Seconds()/lasted.Seconds())
	}
}

func percentiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	return fmt.Sprintf("p50 %s, p99 %s, max %s", bench.Milliseconds(bench.Percentile(all, 50)), bench.Milliseconds(bench.Percentile(all, 99)), bench.Milliseconds(all[len(all)-1]))
}
