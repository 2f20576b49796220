package e2e

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Clients notice nothing of a reload: no request fails, no connection is closed, and what stays is served from its copy.
func TestReloadUnderLoad(t *testing.T) {
	o := newOrigin(t)
	file := writeFile(t, "cacheproxy.yaml", fmt.Sprintf(reloadConfig, o.url, "g0"))
	p := serve(t, "--config", file)
	wantHit(t, p.data+"/kept/1", false)
	var clients sync.WaitGroup
	var requests, connections atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			own := &http.Client{Timeout: patience, Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1}}
			defer own.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				target := [...]string{"/kept/1", "/g/1", fmt.Sprint("/g/", n), "/unmatched"}[n%4]
				req, err := http.NewRequest([...]string{"GET", "GET", "GET", "POST"}[n%4], p.data+target, nil)
				if err != nil {
					t.Error(err)
					return
				}
				res, err := own.Do(req)
				if err != nil {
					t.Errorf("%s: %v", target, err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("%s: %d %q %v", target, res.StatusCode, body, err)
					return
				}
				if target == "/kept/1" && !strings.HasPrefix(res.Header.Get("Cache-Status"), "cacheproxy; hit") {
					t.Errorf("%s: %s", target, res.Header.Get("Cache-Status"))
				}
				if res.Close {
					connections.Add(1)
				}
				requests.Add(1)
			}
		})
	}
	for n := range 40 {
		put(t, file, fmt.Sprintf(reloadConfig, o.url, fmt.Sprint("g", n+1)))
		if a := call(t, http.MethodPost, p.admin+"/reload", ""); a.status != http.StatusOK {
			t.Errorf("reload: %d %s", a.status, a.body)
		}
		before := requests.Load()
		eventually(t, "requests go on", func() bool { return requests.Load() > before+20 || t.Failed() })
	}
	close(stop)
	clients.Wait()
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections were closed", n)
	}
	if n := o.count("GET /kept/1"); n != 1 {
		t.Errorf("the origin was asked %d times for what was cached", n)
	}
	p.stop(t, patience)
}

// manyConfig has an upstream and a route of its own for every generation, health checks, and one that changes.
const manyConfig = `
drain_delay: 0s
upstreams:
  - {name: origin, url: "%[1]s", timeout: %[2]ds}
  - {name: own-%[2]d, url: "%[1]s", health: {path: /up, interval: 50ms}}
routes:
  - {name: kept, match: "GET /kept/{id}", upstream: origin, policy: cache-aside, ttl: 1h}
  - {name: own-%[2]d, match: "GET /own/{id}", upstream: own-%[2]d, policy: cache-aside, ttl: 1h}
`

// A hundred reloads leave nothing behind: no goroutine, no open file, no series, no connection to an origin.
func TestHundredReloads(t *testing.T) {
	o := newOrigin(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "cacheproxy.yaml")
	put(t, file, fmt.Sprintf(manyConfig, o.url, 1))
	p := serve(t, "--config", file)
	use := func(n int) {
		wantHit(t, p.data+"/kept/1", n > 1)
		wantHit(t, fmt.Sprint(p.data, "/own/", n), false)
		call(t, http.MethodPost, p.data+"/unmatched", "")
		get(t, p.data+"/own/1", "Authorization: Bearer x")
	}
	reload := func(n int) {
		put(t, file, fmt.Sprintf(manyConfig, o.url, n))
		if a := call(t, http.MethodPost, p.admin+"/reload", ""); a.status != http.StatusOK {
			t.Fatalf("reload: %d %s", a.status, a.body)
		}
	}
	use(1)
	for n := 2; n <= 10; n++ {
		reload(n)
		use(n)
	}
	series := func() int { return strings.Count(get(t, p.admin+"/metrics").body, "\n") }
	goroutines, files, lines := number(t, p, "go_goroutines"), 0.0, series()
	if runtime.GOOS == "linux" {
		files = number(t, p, "process_open_fds")
	}
	for n := 11; n <= 110; n++ {
		reload(n)
		use(n)
	}
	// A connection or two may be on its way out, or one more be open than at the other count.
	const slack = 8
	eventually(t, "goroutines are as many as before", func() bool { return number(t, p, "go_goroutines") <= goroutines+slack })
	if runtime.GOOS == "linux" {
		eventually(t, "open files are as many as before", func() bool { return number(t, p, "process_open_fds") <= files+slack })
	}
	if now := series(); now > lines+slack {
		t.Errorf("%d lines of metrics, %d before", now, lines)
	}
	for line := range strings.Lines(get(t, p.admin+"/metrics").body) {
		if strings.Contains(line, `"own-`) && !strings.Contains(line, `"own-110"`) {
			t.Errorf("left behind: %s", line)
		}
	}
	if n := o.count("GET /kept/1"); n != 1 {
		t.Errorf("the origin was asked %d times for what was cached", n)
	}
	p.stop(t, patience)
}
