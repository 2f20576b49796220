package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const wrkOutput = `Running 1s test @ http://127.0.0.1:40001
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.51ms    1.07ms  26.27ms   94.70%
  43210 requests in 1.01s, 100.00MB read
Requests/sec:  42782.18
wrk {"requests":43210,"microseconds":1010000,"bytes":104857600,"connect":1,"read":2,"write":3,"status":4,"timeout":5}
`

func TestParseTraffic(t *testing.T) {
	got, err := parseTraffic([]byte(wrkOutput))
	want := traffic{Requests: 43210, Microseconds: 1010000, Bytes: 104857600, Connect: 1, Read: 2, Write: 3, Status: 4, Timeout: 5}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if rate := got.perSecond(); rate < 42782 || rate > 42783 {
		t.Errorf("%v requests/s, want 42782.18", rate)
	}
	for _, text := range []string{"", "unable to connect to 127.0.0.1:1 Connection refused\n", "wrk {\n", `wrk {"requests":1}` + "\n"} {
		if got, err := parseTraffic([]byte(text)); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func TestTrafficThatWentWrongIsNoFigure(t *testing.T) {
	for _, c := range []struct {
		traffic traffic
		wrong   bool
	}{
		{traffic{Requests: 10_000}, false},
		{traffic{Requests: 10_000, Read: 10}, false},
		{traffic{Requests: 10_000, Read: 11}, true},
		{traffic{Requests: 10_000, Status: 5, Timeout: 6}, true},
		{traffic{}, true},
	} {
		if err := c.traffic.failure(); (err != nil) != c.wrong {
			t.Errorf("%+v: %v, want an error: %v", c.traffic, err, c.wrong)
		}
	}
}

func TestFieldsAreAddedBeforeTheEnd(t *testing.T) {
	if got := withFields(constantHead, "A: b\r\n"); !strings.HasSuffix(got, "\r\nA: b\r\n\r\n") || strings.Count(got, "\r\n\r\n") != 1 {
		t.Errorf("%q", got)
	}
}

// What a load sends in its first second was sent when the caches were warmed: a path with another head may be another copy.
func TestLoadsSendWhatWasWarmed(t *testing.T) {
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skipf("%v", errNoWrk)
	}
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	for name, c := range map[string]struct{ paths, heads int }{"more paths": {25, 7}, "more heads": {3, 7}, "many paths": {rendered + 1, 2}} {
		t.Run(name, func(t *testing.T) {
			paths, heads := []string{"/first", unique}, []string(nil)
			for i := range c.paths {
				paths = append(paths, fmt.Sprintf("/%d", i))
			}
			for i := range c.heads {
				heads = append(heads, fmt.Sprintf("Host: shop.example\r\nX-Request-Id: %d\r\n\r\n", i))
			}
			warmed := map[exchange]bool{}
			for one := range inTurn(paths, heads) {
				warmed[one] = true
			}
			sent := sentByWrk(t, paths, heads)
			if len(sent) < 25 && len(sent) < len(warmed) {
				t.Errorf("wrk has sent %d requests of %d", len(sent), len(warmed))
			}
			for one := range sent {
				if !warmed[one] {
					t.Fatalf("wrk sends %q, which was not sent to warm", one)
				}
			}
		})
	}
}

// sentByWrk is what wrk sends in a second, but for requests with a path of their own.
func sentByWrk(t *testing.T, paths, heads []string) map[exchange]bool {
	t.Helper()
	var mu sync.Mutex
	sent := map[exchange]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(r.URL.Path, "/own") {
			sent[exchange{r.URL.Path, fmt.Sprintf("Host: %s\r\nX-Request-Id: %s\r\n\r\n", r.Host, r.Header.Get("X-Request-Id"))}] = true
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := writeMaterial(dir, "load", heads, "", paths)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runWrk(context.Background(), cores{}, script, m, load{connections: 4}, server.Listener.Addr().String(), "/own", time.Second); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return sent
}
