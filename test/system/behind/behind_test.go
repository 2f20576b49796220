package behind

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cacheproxy/test/servers"
)

var (
	duration = flag.Duration("for", 25*time.Second, "how long writes are made")
	rate     = flag.Int("rate", 200, "how many a second")
	clients  = flag.Int("clients", 100, "how many there are, each with one register, in which it makes one write after the other")
	outage   = flag.Duration("outage", 3*time.Second, "how long the origin fails")
)

var program string

func TestMain(m *testing.M) { os.Exit(servers.WithCacheproxy(&program, m.Run)) }

// lostTries is how many writes can be under way, within max_in_flight, when an instance is lost: two are killed, one stands still, and each of three
// may lose its partitions while Valkey is away. More would be sent by two that both take themselves for the owner.
const lostTries = 6 * 64

const configuration = `
drain_delay: 0s
log: {hits: 0%%, others: 0%%, level: warn}
valkey: {url: "valkey://%s", lease: 1s, secrets: [0123456789abcdef0123456789abcdef], signatures: require}
upstreams:
  - {name: api, url: "%s", timeout: 5s, max_in_flight: 64, max_queue: 1000, queue_timeout: 5s}
routes:
  - name: %s
    match: ["GET /r/{id}", "PUT /r/{id}"]
    policy: write-behind
    write_behind: {status_path: /_writes/, authorize: none, max_queued: 100000, max_per_key: 1000, patience: 10s}
`

// scene is what plays: instances before one origin.
type scene struct {
	t      *testing.T
	valkey *servers.ValkeyServer
	origin *origin
	back   *httptest.Server
	route  string

	mu      sync.Mutex
	proxies []*servers.Cacheproxy // nil: it is not there
	dirs    []string
}

func (s *scene) text() string {
	return fmt.Sprintf(configuration, s.valkey.Address(), s.back.URL, s.route)
}

func (s *scene) start(i int) {
	p, err := servers.StartCacheproxy(context.Background(), program, s.dirs[i], s.text())
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

func (s *scene) signal(i int, signal syscall.Signal) {
	if err := s.at(i).Process.Signal(signal); err != nil {
		s.t.Error(err)
	}
}

// kill ends an instance at once, and starts another in its place.
func (s *scene) kill(i int) {
	s.signal(i, syscall.SIGKILL)
	<-s.at(i).Process.Done()
	s.start(i)
}

// stop has an instance stand still for longer than its lease.
func (s *scene) stop(i int) {
	s.signal(i, syscall.SIGSTOP)
	<-time.After(8 * time.Second)
	s.signal(i, syscall.SIGCONT)
}

func (s *scene) call(i int, method, path, body string) (int, string) {
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.at(i).Admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body) // its end matters to nobody
	return response.StatusCode, string(text)
}

// rename gives the route another name on all instances: what it has accepted stays behind under the old one.
func (s *scene) rename() {
	s.route = "renamed"
	for i := range s.proxies {
		file := filepath.Join(s.dirs[i], "cacheproxy.yaml")
		before, err := os.ReadFile(file)
		if err != nil {
			s.t.Error(err)
			continue
		}
		listeners, _, _ := bytes.Cut(before, []byte("\ndrain_delay"))
		if err := os.WriteFile(file, append(listeners, s.text()...), 0o600); err != nil {
			s.t.Error(err)
		}
		s.signal(i, syscall.SIGHUP)
	}
}

// play has everything fail that may, while writes are made.
func (s *scene) play(part time.Duration) {
	pause := func() { <-time.After(part) }
	for _, act := range []struct {
		name string
		do   func()
	}{
		{"kill a proxy", func() { s.kill(0) }},
		{"the origin fails", func() {
			s.origin.setDown(true)
			<-time.After(*outage)
			s.origin.setDown(false)
		}},
		{"kill Valkey", func() {
			s.valkey.Kill()
			<-time.After(500 * time.Millisecond)
			if err := s.valkey.Start(context.Background()); err != nil {
				s.t.Error(err)
			}
		}},
		{"stop a proxy", func() { s.stop(1) }},
		{"switch the mode off and on", func() {
			s.call(2, http.MethodPost, "/routes/"+s.route+"/mode", `{"mode":"off"}`)
			<-time.After(time.Second)
			s.call(2, http.MethodDelete, "/routes/"+s.route+"/mode", "")
		}},
		{"rename the route", s.rename},
		{"kill another proxy", func() { s.kill(2) }},
	} {
		pause()
		s.t.Logf("%s", act.name)
		act.do()
	}
}

// client makes writes of one register until the time is up, each again until it is accepted, and returns the last.
func (s *scene) client(register int, until time.Time, accepted, again *atomic.Int64) string {
	client := &http.Client{Timeout: 15 * time.Second}
	defer client.CloseIdleConnections()
	path, last := "/r/"+strconv.Itoa(register), ""
	for n := 1; time.Now().Before(until); n++ {
		value := strconv.Itoa(n)
		for !s.put(client, path, value) {
			again.Add(1)
			<-time.After(50 * time.Millisecond)
		}
		last = value
		accepted.Add(1)
		<-time.After(time.Duration(float64(time.Second) * float64(*clients) / float64(*rate) * (0.5 + rand.Float64())))
	}
	return last
}

func (s *scene) put(client *http.Client, path, value string) bool {
	p := s.at(rand.IntN(len(s.proxies)))
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, p.URL+path, strings.NewReader(value))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Host = "shop.example"
	request.Header.Set("Idempotency-Key", path+"."+value)
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // the head says it all
	return response.StatusCode == http.StatusAccepted || response.StatusCode == http.StatusOK
}

// drained waits until nothing waits.
func (s *scene) drained() {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(100 * time.Millisecond) {
		var waiting, dead struct{ Writes []json.RawMessage }
		code, text := s.call(0, http.MethodGet, "/writes?state=waiting&limit=1", "")
		other, also := s.call(0, http.MethodGet, "/writes?state=dead&limit=1", "")
		err := json.Unmarshal([]byte(text), &waiting)
		failed := json.Unmarshal([]byte(also), &dead)
		if code == http.StatusOK && other == http.StatusOK && err == nil && failed == nil && len(waiting.Writes)+len(dead.Writes) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("not drained: %d %s\n%d %s", code, text, other, also)
			for i := range s.proxies {
				lines := strings.Split(s.at(i).Process.Output(), "\n")
				s.t.Logf("instance %d:\n%s", i, strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, `"admin call"`) }), "\n"))
			}
			s.t.FailNow()
		}
	}
}

// What was accepted is what an origin has in the end, whatever has failed meanwhile.
func TestWritesSurvive(t *testing.T) {
	s := &scene{t: t, origin: newOrigin(), route: "registers", proxies: make([]*servers.Cacheproxy, 3)}
	s.valkey = servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "everysec"}})
	s.back = httptest.NewServer(s.origin)
	t.Cleanup(s.back.Close)
	for i := range s.proxies {
		s.dirs = append(s.dirs, t.TempDir())
		s.start(i)
	}
	t.Cleanup(func() {
		for i := range s.proxies {
			if p := s.at(i); p != nil {
				_ = p.Process.Stop() // its exit status says nothing here
			}
		}
	})
	if t.Failed() {
		return
	}
	until := time.Now().Add(*duration)
	var accepted, again atomic.Int64
	want := make([]string, *clients)
	var at sync.WaitGroup
	for i := range *clients {
		at.Go(func() { want[i] = s.client(i, until, &accepted, &again) })
	}
	s.play(*duration / 12)
	at.Wait()
	s.drained()
	s.origin.mu.Lock()
	defer s.origin.mu.Unlock()
	repeated := 0
	for _, n := range s.origin.seen {
		if n > 1 {
			repeated++
		}
	}
	wrong := 0
	for i, value := range want {
		path := "/r/" + strconv.Itoa(i)
		if s.origin.checked[path] != value {
			t.Errorf("%s is %q at an origin that checks the sequence, and %q was accepted last", path, s.origin.checked[path], value)
		}
		if s.origin.plain[path] != value {
			wrong++
		}
	}
	t.Logf("%d writes accepted, %d tried again by their clients, %d came to the origin, %d of them more than once; %d came after a later one of their register; an origin that does not check is wrong about %d of %d registers",
		accepted.Load(), again.Load(), s.origin.writes, repeated, s.origin.backwards, wrong, *clients)
	if repeated > lostTries {
		t.Errorf("%d writes came more than once, and %d can have been under way when instances were lost", repeated, lostTries)
	}
	if int64(len(s.origin.seen)) < accepted.Load() {
		t.Errorf("%d writes have come to the origin, and %d were accepted", len(s.origin.seen), accepted.Load())
	}
}
