package leaderboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/servers"
)

var program string

func TestMain(m *testing.M) { os.Exit(servers.WithCacheproxy(&program, m.Run)) }

const configuration = `
drain_delay: 0s
log: {hits: 0%%, others: 0%%, level: warn}
valkey: {url: "valkey://%[1]s", lease: 1s}
records: {url: "valkey://%[2]s", timeout: 2s}
upstreams: [{name: game, url: "%[3]s", host: upstream}]
routes:
  - name: scores
    match: ["POST /games/{game}/scores", "GET /games/{game}/leaderboard"]
    policy: leaderboard
%[4]s
`

// scene is two instances before an API, with a server of records.
type scene struct {
	t       *testing.T
	records *servers.ValkeyServer
	api     *httptest.Server
	text    string
	dirs    [2]string
	client  *http.Client

	mu      sync.Mutex
	proxies [2]*servers.Cacheproxy
}

func newScene(t *testing.T, route string) *scene {
	t.Helper()
	s := &scene{t: t, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	s.api = httptest.NewServer(demo.New(demo.NewMemory(1, 0), demo.Options{}))
	t.Cleanup(s.api.Close)
	s.records = servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes", "--maxmemory-policy", "noeviction"}})
	shared := servers.Valkey(t, servers.ValkeyOptions{})
	s.text = fmt.Sprintf(configuration, shared.Address(), s.records.Address(), s.api.URL, route)
	for i := range s.proxies {
		s.dirs[i] = t.TempDir()
		s.start(i)
		t.Cleanup(func() { _ = s.at(i).Process.Stop() })
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func (s *scene) start(i int) {
	p, err := servers.StartCacheproxy(context.Background(), program, s.dirs[i], s.text)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxies[i] = p
}

func (s *scene) at(i int) *servers.Cacheproxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proxies[i]
}

// command runs a command of the program.
func (s *scene) command(input string, args ...string) string {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), program, args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (s *scene) file() string { return filepath.Join(s.dirs[0], "cacheproxy.yaml") }

// submit sends one score to an instance. Status 0: it did not answer.
func (s *scene) submit(i int, player string, score int, header ...string) (status int, h http.Header) {
	body, _ := json.Marshal(map[string]any{"player": player, "score": score}) // which has a form
	r, err := http.NewRequest(http.MethodPost, s.at(i).URL+"/games/chess/scores", bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/json")
	for j := 0; j < len(header); j += 2 {
		r.Header.Set(header[j], header[j+1])
	}
	res, err := s.client.Do(r)
	if err != nil {
		return 0, nil
	}
	_, _ = io.Copy(io.Discard, res.Body) // the status says it all
	res.Body.Close()
	return res.StatusCode, res.Header
}

// board is what an instance shows, by player.
func (s *scene) board(i int, query string) map[string]float64 {
	s.t.Helper()
	res, err := s.client.Get(s.at(i).URL + "/games/chess/leaderboard" + query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var shown struct {
		Entries []struct {
			Player string
			Score  float64
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&shown); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%d %v", res.StatusCode, err)
	}
	all := map[string]float64{}
	for _, e := range shown.Entries {
		all[e.Player] = e.Score
	}
	return all
}

// What one instance acknowledges is shown by it at once, and by another within a second.
func TestFreshness(t *testing.T) {
	s := newScene(t, `    leaderboard: {board: "{game}", window: all-time, authorize: none}`)
	var took []time.Duration
	for n := range 40 {
		player := fmt.Sprint("player ", n)
		if status, _ := s.submit(0, player, n+1); status != http.StatusOK {
			t.Fatal(status)
		}
		acknowledged := time.Now()
		if got := s.board(0, ""); got[player] != float64(n+1) {
			t.Fatalf("its own instance shows %v", got)
		}
		for s.board(1, "")[player] != float64(n+1) {
			if time.Since(acknowledged) > time.Second {
				t.Fatal("the other instance does not show it after a second")
			}
		}
		took = append(took, time.Since(acknowledged))
	}
	slices.Sort(took)
	t.Logf("seen at the other instance: median %v, longest %v", took[len(took)/2], took[len(took)-1])
}

// A board comes from the API to the proxy while players play: no score that was ever accepted is missing.
func TestSwitchWithoutAGap(t *testing.T) {
	s := newScene(t, `    mode: observe
    leaderboard: {board: "{game}", window: all-time, ranks: 10000, authorize: none}`)
	began := time.Now()
	var history bytes.Buffer
	want := map[string]float64{}
	for n := range 300 { // as the API has it from before
		player := fmt.Sprint("old ", n)
		res, err := http.Post(s.api.URL+"/games/chess/scores", "application/json", strings.NewReader(fmt.Sprintf(`{"player": %q, "score": %d}`, player, n)))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		res.Body.Close()
		fmt.Fprintf(&history, `{"board": "chess", "player": %q, "score": %d, "at": %q}`+"\n", player, n, began.Add(-time.Hour).UTC().Format(time.RFC3339))
		want[player] = float64(n)
	}
	var mu sync.Mutex
	var players sync.WaitGroup
	playing, stop := context.WithCancel(t.Context())
	defer stop()
	for w := range 4 {
		players.Go(func() {
			for n := 0; playing.Err() == nil; n++ {
				player, score := fmt.Sprintf("new %d %d", w, n%500), n
				status, _ := s.submit((w+n)%2, player, score)
				if status != http.StatusOK {
					t.Errorf("a submission got %d", status)
					return
				}
				mu.Lock()
				want[player] = max(want[player], float64(score))
				mu.Unlock()
			}
		})
	}
	played := func(n int) { // waits for so many more scores
		t.Helper()
		count := func() int { mu.Lock(); defer mu.Unlock(); return len(want) }
		for until := count() + n; count() < until && playing.Err() == nil; {
			s.board(0, "")
		}
	}
	played(50)
	t.Log(s.command(history.String(), "leaderboard", "import", s.file(), "scores"))
	played(50)
	t.Log(s.command("", "mode", "--admin", s.at(0).Admin, "--route", "scores", "on"))
	played(50)
	stop()
	players.Wait()
	for i := range s.proxies {
		<-time.After(300 * time.Millisecond) // what was kept of the board a moment ago
		got := s.board(i, "?top=10000")
		missing := 0
		for player, score := range want {
			if got[player] != score {
				missing++
			}
		}
		if missing > 0 || len(got) != len(want) {
			t.Errorf("instance %d shows %d players, and %d are as they were accepted, of %d", i, len(got), len(want)-missing, len(want))
		}
	}
	if lines := strings.Count(s.command("", "leaderboard", "export", s.file(), "scores"), "\n"); lines < len(want) {
		t.Errorf("%d lines are exported, of %d players", lines, len(want))
	}
}

// Sums are exact where clients repeat with their key what was not acknowledged, whoever dies: nothing acknowledged is missing, and nothing
// counts twice.
func TestSumsAreExact(t *testing.T) {
	s := newScene(t, `    leaderboard: {board: "{game}", window: 24h, aggregate: sum, ranks: all, durability: fsync, authorize: none}`)
	var acknowledged, refused, unanswered atomic.Int64
	var players sync.WaitGroup
	playing, stop := context.WithCancel(t.Context())
	defer stop()
	sums := make([]int, 8)
	for w := range sums {
		players.Go(func() {
			for n := 0; playing.Err() == nil; n++ {
				key := fmt.Sprintf("%d-%d", w, n)
				for try := 0; ; try++ {
					status, h := s.submit((w+try)%2, fmt.Sprint("player ", w), n%7+1, "Idempotency-Key", key)
					if status == http.StatusOK {
						acknowledged.Add(1)
						sums[w] += n%7 + 1
						break
					}
					switch {
					case status == 0:
						unanswered.Add(1)
					case status != http.StatusServiceUnavailable || h.Get("Retry-After") == "":
						t.Errorf("%d %v", status, h)
						return
					default:
						refused.Add(1)
					}
					<-time.After(20 * time.Millisecond)
				}
			}
		})
	}
	more := func(n int64) {
		t.Helper()
		for until, deadline := acknowledged.Load()+n, time.Now().Add(30*time.Second); acknowledged.Load() < until; {
			if time.Now().After(deadline) {
				t.Fatal("nothing is acknowledged any more")
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	for range 2 {
		more(200)
		s.records.Kill()
		<-time.After(500 * time.Millisecond)
		if err := s.records.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		more(200)
		if err := s.at(0).Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-s.at(0).Process.Done()
		s.start(0)
		more(200)
	}
	stop()
	players.Wait()
	t.Logf("%d acknowledged, %d times 503, %d times no answer", acknowledged.Load(), refused.Load(), unanswered.Load())
	if refused.Load()+unanswered.Load() == 0 {
		t.Error("nobody noticed that anything died")
	}
	got := s.board(1, "?top=1000")
	for w, want := range sums {
		if player := fmt.Sprint("player ", w); got[player] != float64(want) {
			t.Errorf("%s: %v, and %d was acknowledged", player, got[player], want)
		}
	}
}

// check --live tells what a failure of the server would lose, and refuses one that throws scores away.
func TestCheckLive(t *testing.T) {
	s := newScene(t, `    leaderboard: {board: "{game}", window: 24h, durability: fsync, authorize: none}`)
	for _, c := range []struct {
		set   []string
		says  string
		fails bool
	}{
		{nil, "durability: fsync can be kept", false},
		{[]string{"maxmemory", "100mb"}, "a full server refuses submissions with 503", false},
		{[]string{"maxmemory-policy", "volatile-lfu"}, "maxmemory-policy: is volatile-lfu", true},
		{[]string{"maxmemory-policy", "allkeys-lru"}, "maxmemory-policy: is allkeys-lru", true},
		{[]string{"maxmemory-policy", "noeviction"}, "replicas: none", false},
		{[]string{"appendonly", "no"}, "appendonly is off", true},
	} {
		if len(c.set) > 0 {
			if _, err := s.records.CLI(t.Context(), append([]string{"CONFIG", "SET"}, c.set...)...); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.CommandContext(t.Context(), program, "check", "--live", s.file()).CombinedOutput()
		if !strings.Contains(string(out), c.says) || (err != nil) != c.fails {
			t.Errorf("%v: %v, %q is not said:\n%s", c.set, err, c.says, out)
		}
	}
}
