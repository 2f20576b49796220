package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is clients that ask all the time, as an ordinary program would: with net/http, which repeats what is safe to
// repeat when a kept connection has ended.
type load struct {
	clients sync.WaitGroup
	end     context.CancelFunc
	asked   atomic.Int64

	mu     sync.Mutex // guards failed
	failed []string
}

// loadClients ask every loadPause: together about two thousand times a second where the machine can.
const (
	loadClients = 8
	loadPause   = 4 * time.Millisecond
)

// startLoad asks for a hit and for what goes through to the origin, half of the clients with a new connection each time.
func startLoad(t testing.TB, url string) *load {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	l := &load{end: end}
	t.Cleanup(func() { end(); l.clients.Wait() })
	for i := range loadClients {
		l.clients.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer transport.CloseIdleConnections()
			own := &http.Client{Transport: transport, Timeout: patience}
			tick := time.NewTicker(loadPause)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				if err := askOnce(own, url+[]string{"/hit", "/pass"}[n%2]); err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err.Error())
					l.mu.Unlock()
				}
				l.asked.Add(1)
				<-tick.C
			}
		})
	}
	l.more(t, 100)
	return l
}

func askOnce(own *http.Client, url string) error {
	res, err := own.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return nil
}

// more waits until n more requests were answered.
func (l *load) more(t testing.TB, n int64) {
	t.Helper()
	until := l.asked.Load() + n
	eventually(t, fmt.Sprintf("%d more requests", n), func() bool { return l.asked.Load() >= until })
}

// stop ends the clients and demands that nothing failed.
func (l *load) stop(t testing.TB) {
	t.Helper()
	l.end()
	l.clients.Wait()
	t.Logf("%d requests, %d failed", l.asked.Load(), len(l.failed))
	for i, failure := range l.failed {
		if i == 10 {
			break
		}
		t.Errorf("a request failed: %s", failure)
	}
}

// loadConfig has a route that is cached and one that is not.
const loadConfig = `
listen: "%s"
admin: {listen: "%s"}
drain_delay: %s
log: {hits: 0%%, others: 0%%}
upstreams: [{name: origin, url: "%s"}]
routes:
  - {name: hit, match: GET /hit, policy: cache-aside, ttl: 1h}
  - {name: pass, match: GET /pass, policy: bypass}
`
