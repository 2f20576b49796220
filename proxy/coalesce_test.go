package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/proxy/upstream"
	"cacheproxy/test/wire"
)

// crowd sends n requests at once and collects the answers.
func crowd(r *rig, n int, target string, header ...string) []answer {
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a, err := r.try("GET", target, nil, header...)
			if err != nil {
				a.body = "error: " + err.Error()
			}
			answers[i] = a
		})
	}
	wg.Wait()
	return answers
}

func TestColdKeyIsFetchedOnce(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-time.After(100 * time.Millisecond) // the origin's work
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "body")
	}, rigOptions{}, routeFor(t, "all", nil, "/"))
	for i, a := range crowd(r, 1000, "/cold") {
		if a.status != 200 || a.body != "body" {
			t.Fatalf("request %d: %d %q", i, a.status, a.body)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Fatalf("the origin was asked %d times, want once", n)
	}
}

func TestUncacheableAnswersAreNotSerialised(t *testing.T) {
	const n = 1000
	var inside, most atomic.Int64
	all := make(chan struct{})
	var first sync.Once
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "private")
		lead := false
		first.Do(func() { lead = true })
		if lead {
			fmt.Fprint(w, "mine")
			return
		}
		// Every other request must be here at the same time, or none gets on.
		if now := inside.Add(1); now == n-1 {
			close(all)
		}
		select {
		case <-all:
		case <-time.After(2 * time.Minute):
		}
		most.Store(max(most.Load(), inside.Load()))
		fmt.Fprint(w, "mine")
	}, rigOptions{origin: upstream.Options{Timeout: 5 * time.Minute, DialTimeout: time.Minute}}, routeFor(t, "all", nil, "/"))
	for i, a := range crowd(r, n, "/mine") {
		if a.status != 200 || a.body != "mine" {
			t.Fatalf("request %d: %d %q", i, a.status, a.body)
		}
	}
	if got := most.Load(); got < n-1 {
		t.Fatalf("at most %d requests were at the origin together, want %d", got, n-1)
	}
}

func TestFirstClientHangsUp(t *testing.T) {
	var asked atomic.Int64
	arrived, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			close(arrived)
		}
		<-release
		fmt.Fprint(w, "body")
	}, rigOptions{}, routeFor(t, "all", nil, "/"))
	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		req, _ := http.NewRequestWithContext(ctx, "GET", r.front.URL+"/x", nil)
		if resp, err := r.client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-arrived
	answers := make(chan []answer)
	go func() { answers <- crowd(r, 999, "/x") }()
	waitFor(t, func() bool { return waiters(r) == 999 })
	hangUp()
	<-gone
	close(release)
	for i, a := range <-answers {
		if a.status != 200 || a.body != "body" {
			t.Fatalf("request %d: %d %q", i, a.status, a.body)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Fatalf("the origin was asked %d times, want once", n)
	}
}

// waitFor polls a condition that other goroutines bring about.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	wire.WaitFor(t, ok)
}

func TestFollowersReadTheBodyWhileItGrows(t *testing.T) {
	more := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "second")
	}, rigOptions{}, routeFor(t, "all", nil, "/"))
	open := func() (*http.Response, string) {
		resp, err := r.client.Get(r.front.URL + "/slow")
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 6)
		if _, err := io.ReadFull(resp.Body, p); err != nil {
			t.Fatal(err)
		}
		return resp, string(p)
	}
	lead, p1 := open()
	follow, p2 := open()
	if p1 != "first " || p2 != "first " {
		t.Fatalf("read %q and %q before the body ended", p1, p2)
	}
	if got := follow.Header.Get("Cache-Status"); !strings.Contains(got, "collapsed") {
		t.Errorf("follower's Cache-Status %q", got)
	}
	close(more)
	for _, resp := range []*http.Response{lead, follow} {
		rest, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(rest) != "second" {
			t.Errorf("rest %q, %v", rest, err)
		}
	}
}

func TestOutgrownBodyStreamsOn(t *testing.T) {
	var asked atomic.Int64
	chunk := strings.Repeat("x", 64<<10)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		for range 64 { // 4 MiB of unknown length
			io.WriteString(w, chunk)
			w.(http.Flusher).Flush()
		}
	}, rigOptions{maxObject: 1 << 20}, routeFor(t, "all", nil, "/"))
	for i, a := range crowd(r, 20, "/big") {
		if len(a.body) != 4<<20 {
			t.Fatalf("request %d: %d bytes", i, len(a.body))
		}
	}
	if got := r.store.Memory().Budget().Reserved(); got != 0 {
		t.Errorf("%d bytes still reserved", got)
	}
	before := asked.Load()
	if a := r.do("GET", "/big"); asked.Load() != before+1 || !strings.Contains(a.header.Get("Cache-Status"), "hit-for-miss") {
		t.Errorf("Cache-Status %q after %d requests", a.header.Get("Cache-Status"), asked.Load()-before)
	}
}

func TestOriginThatPanicsOrBreaksOff(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, rigOptions{}, routeFor(t, "all", nil, "/"))
	for range 3 {
		if a, err := r.try("GET", "/broken", nil); err == nil {
			t.Fatalf("a broken body arrived as whole: %d %q", a.status, a.body)
		}
	}
}
