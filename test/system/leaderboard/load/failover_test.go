package load

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/servers"
)

var (
	failovers = flag.Int("failovers", 1, "how many times the server of the records fails")
	before    = flag.Duration("before", 2*time.Second, "how long scores are submitted before each time")
)

// Each durability has a board of single scores and one of sums, all of them archived.
var failoverRoutes = []string{"none-best", "none-sum", "fsync-best", "fsync-sum", "replicas-best", "replicas-sum"}

const failoverConfiguration = `
drain_delay: 0s
log: {hits: 0%%, others: 0%%, level: warn}
records: {sentinel: {master: %s, addresses: ["%s"]}}
postgres: {url: "%s"}
upstreams: [{name: game, url: "http://127.0.0.1:9", host: upstream}]
routes:
`

// tried is what was submitted to a route: each score once, so that it names its submission.
type tried struct {
	player string
	score  int64
	sent   time.Time
	acked  bool
}

// failing is two instances with records of which a replica takes over, and everything that was submitted.
type failing struct {
	*run
	sentinel *servers.ValkeySentinel
	file     string

	mu    sync.Mutex
	tried map[string]map[int64]*tried // by route and score
	next  int64
	lags  [][2]time.Time // from when to when the replica lagged, or its primary was not known to be gone
}

// noticed is within which an instance has to know of another primary.
const noticed = 5 * time.Second

// The server of the records fails while its replica lags, and the archive goes on. What was acknowledged with durability replicas is all there. Of
// the others what the archive has comes back, so that boards and archive are the same in the end; nothing is in the archive twice, and nothing
// that nobody submitted.
//
// It fails once; make leaderboard-failover has it fail five times.
func TestFailover(t *testing.T) {
	t.Parallel()
	f := startFailing(t)
	ctx, stop := context.WithCancel(t.Context())
	var submitting sync.WaitGroup
	for _, route := range failoverRoutes {
		for range 4 {
			submitting.Go(func() { f.submitUntil(ctx, route) })
		}
	}
	for range *failovers {
		f.more(20, failoverRoutes)
		<-time.After(*before) // of load
		f.failOver(ctx)
		f.more(20, failoverRoutes)
	}
	stop()
	submitting.Wait()
	held := map[string]map[string]int64{}
	f.await("boards and archive to be the same", func() bool {
		for _, route := range failoverRoutes {
			held[route] = f.export(route)
			if f.count("SELECT count(*) FROM leaderboard_archive.bucket WHERE NOT closed") > 0 || !maps.Equal(held[route], f.archive(route)) {
				return false
			}
		}
		return true
	})
	for _, route := range failoverRoutes {
		f.judge(route, held[route])
	}
	t.Logf("boards that were mended: %.0f", f.sum("mended_total"))
}

func startFailing(t *testing.T) *failing {
	servers.NeedValkey(t, servers.ValkeyProgram)
	f := &failing{run: &run{T: t, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second}}}, tried: map[string]map[int64]*tried{}}
	f.sentinel = servers.StartValkeySentinel(t, servers.ValkeyProgram, "--appendonly", "yes", "--maxmemory-policy", "noeviction")
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if f.postgres, err = servers.StartPostgres(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.postgres.Stop() })
	f.database = connect(t, f.postgres.URL())
	f.text = fmt.Sprintf(failoverConfiguration, servers.SentinelMaster, f.sentinel.Sentinel.Address(), f.postgres.URL())
	for _, route := range failoverRoutes {
		durability, aggregate, _ := strings.Cut(route, "-")
		f.text += fmt.Sprintf(`- {name: %[1]s, match: ["POST /%[1]s", "GET /%[1]s"], upstream: game, policy: leaderboard, leaderboard: {board: all, window: 1h, bucket: 2s,
  ranks: all, aggregate: %[2]s, durability: %[3]s, authorize: none, archive: {submissions: true}}}
`, route, aggregate, durability)
		f.tried[route] = map[int64]*tried{}
	}
	f.file = filepath.Join(t.TempDir(), "install.yaml")
	if err := os.WriteFile(f.file, []byte(f.text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "pg", "install", f.file).CombinedOutput(); err != nil {
		t.Fatalf("pg install: %v\n%s", err, out)
	}
	for i := range f.instances {
		f.begin(i)
	}
	return f
}

// submitUntil submits scores to a route until ctx ends, some forty a second.
func (f *failing) submitUntil(ctx context.Context, route string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		f.mu.Lock()
		f.next++
		s := &tried{player: fmt.Sprintf("player-%d", f.next), score: f.next, sent: time.Now()}
		if strings.HasSuffix(route, "-sum") {
			s.player = fmt.Sprintf("player-%d", f.next%20)
		}
		f.tried[route][s.score] = s
		f.mu.Unlock()
		body := fmt.Sprintf(`{"player":%q,"score":%d}`, s.player, s.score)
		response, err := f.client.Post(f.instances[s.score%2].Load().URL+"/"+route, "application/json", strings.NewReader(body))
		if err != nil {
			f.Errorf("submit: %v", err)
			return
		}
		answer, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable {
			f.Errorf("submit: %s: %s", response.Status, answer)
		}
		f.mu.Lock()
		s.acked = response.StatusCode == http.StatusOK
		f.mu.Unlock()
	}
}

// acked is how many submissions to a route were acknowledged.
func (f *failing) acked(route string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.tried[route] {
		if s.acked {
			n++
		}
	}
	return n
}

// more waits until so many more of each of the routes were acknowledged.
func (f *failing) more(n int, routes []string) {
	f.Helper()
	for _, route := range routes {
		want := f.acked(route) + n
		f.await("submissions to "+route, func() bool { return f.acked(route) >= want })
	}
}

// failOver has the replica lose its primary, the archive take what the replica lacks, and then the primary die.
func (f *failing) failOver(ctx context.Context) {
	f.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // a failover that fails on a busy machine is tried again
	defer cancel()
	must := func(err error) {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
	}
	primary, replica, err := f.sentinel.Now(ctx)
	must(err)
	// A replica that was without its primary for ten times as long takes over no more.
	_, err = f.sentinel.Sentinel.CLI(ctx, "SENTINEL", "SET", servers.SentinelMaster, "down-after-milliseconds", "3000")
	must(err)
	must(replica.FollowAddress(ctx, "127.0.0.1:1")) // where nobody is
	lagging := time.Now()
	f.more(20, failoverRoutes[:4])
	lacks := fmt.Sprintf("FROM leaderboard_archive.score WHERE at > '%s'", lagging.Format(time.RFC3339Nano))
	f.await("the archive to have what the replica lacks", func() bool { return f.count("SELECT count(DISTINCT route) "+lacks) >= 4 })
	primary.Kill()
	died := time.Now()
	must(f.sentinel.AwaitPrimary(ctx, replica))
	f.lags = append(f.lags, [2]time.Time{lagging, time.Now()})
	must(primary.Start(ctx)) // which takes itself for one
	f.more(20, failoverRoutes[:4])
	must(primary.Follow(ctx, replica))          // as the sentinel would have it in the end
	must(f.sentinel.AwaitReplica(ctx, primary)) // without one nothing is acknowledged
	f.Logf("the replica lagged for %s, and was followed %s after its primary had died", died.Sub(lagging).Round(time.Millisecond), time.Since(died).Round(time.Millisecond))
}

// export is what the boards of a route hold: the score of each player.
func (f *failing) export(route string) map[string]int64 {
	f.Helper()
	out, err := exec.CommandContext(f.Context(), program, "leaderboard", "export", f.file, route).Output()
	if err != nil {
		f.Fatalf("export: %v\n%s", err, out)
	}
	all := map[string]int64{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var line struct {
			Player string
			Score  int64
		}
		if err := dec.Decode(&line); err == io.EOF {
			return all
		} else if err != nil {
			f.Fatalf("export: %v", err)
		}
		all[line.Player] += line.Score
	}
}

// archive is what the archived buckets of a route come to: the sum of each player, who has one score where the best counts.
func (f *failing) archive(route string) map[string]int64 {
	f.Helper()
	rows, err := f.database.Query(f.Context(), "SELECT player, sum(score)::bigint FROM leaderboard_archive.score WHERE route = $1 GROUP BY player", route)
	if err != nil {
		f.Fatal(err)
	}
	defer rows.Close()
	all := map[string]int64{}
	for rows.Next() {
		var player string
		var score int64
		if err := rows.Scan(&player, &score); err != nil {
			f.Fatal(err)
		}
		all[player] = score
	}
	return all
}

// judge holds a board, and every submission that was archived by itself, against what was submitted.
func (f *failing) judge(route string, board map[string]int64) {
	f.Helper()
	rows, err := f.database.Query(f.Context(), "SELECT player, score::bigint FROM leaderboard_archive.submission WHERE route = $1", route)
	if err != nil {
		f.Fatal(err)
	}
	defer rows.Close()
	archived := map[int64]bool{}
	for rows.Next() {
		var s tried
		if err := rows.Scan(&s.player, &s.score); err != nil {
			f.Fatal(err)
		}
		if is := f.tried[route][s.score]; is == nil || is.player != s.player || archived[s.score] {
			f.Errorf("%s: %s with %d is in the archive twice, or was never submitted", route, s.player, s.score)
		}
		archived[s.score] = true
	}
	least, most := map[string]int64{}, map[string]int64{}
	acked, unknown, unarchived := 0, 0, 0
	for _, s := range f.tried[route] {
		most[s.player] += s.score
		if !s.acked {
			unknown++
			continue
		}
		acked++
		least[s.player] += s.score
		if !archived[s.score] {
			unarchived++
		}
	}
	missing := int64(0)
	for player := range most {
		if board[player] < least[player] {
			missing += least[player] - board[player]
		}
	}
	for _, player := range slices.Sorted(maps.Keys(board)) {
		if board[player] > most[player] {
			f.Errorf("%s: %s has %d, and %d was submitted", route, player, board[player], most[player])
		}
	}
	lost := fmt.Sprintf("%d points of sums are not on the board", missing)
	if !strings.HasSuffix(route, "-sum") {
		lost = fmt.Sprintf("%d players are not on the board", f.absent(route, board))
	}
	f.Logf("%s: %d acknowledged, of %d it is not known; of the acknowledged %s, and %d submissions are not in the archive", route, acked, unknown, lost, unarchived)
	if strings.HasPrefix(route, "replicas-") && (missing > 0 || unarchived > 0) {
		f.Errorf("%s: what was acknowledged is not there", route)
	}
}

// absent is how many of those who were acknowledged are not on a board. Only what the replica had not got may be missing, of the time until the
// instances knew of it.
func (f *failing) absent(route string, board map[string]int64) (n int) {
	f.Helper()
	for _, s := range f.tried[route] {
		if _, there := board[s.player]; there || !s.acked {
			continue
		}
		n++
		if !slices.ContainsFunc(f.lags, func(lag [2]time.Time) bool {
			return s.sent.After(lag[0].Add(-time.Second)) && s.sent.Before(lag[1].Add(noticed))
		}) {
			f.Errorf("%s: %s was acknowledged at %s and is not there, though a replica took over between %v", route, s.player, s.sent.Format(time.StampMilli), f.lags)
		}
	}
	return n
}

// sum adds up one of the archive's metrics over routes and instances.
func (f *failing) sum(name string) (all float64) {
	f.Helper()
	for i := range f.instances {
		metrics, err := f.instances[i].Load().Metrics(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		for _, m := range metrics["cacheproxy_leaderboard_archive_"+name].GetMetric() {
			all += m.GetCounter().GetValue()
		}
	}
	return all
}
