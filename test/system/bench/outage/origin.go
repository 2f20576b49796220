package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// body is what the origin answers, about the size of a row as JSON.
var body = strings.Repeat("x", 1024)

// origin is a server that takes the same time for every request. It has an address for each proxy, and notes when how many
// requests each has with it.
type origin struct {
	servers []*httptest.Server
	work    time.Duration

	loaded atomic.Bool // until then it takes no time

	mu   sync.Mutex
	now  []int     // requests at work, by proxy; guarded by mu
	seen []arrival // guarded by mu
}

// arrival is a request that has come to the origin, and what it found there with itself.
type arrival struct {
	at       time.Time
	of, most int // requests at work: of its proxy, and of all
}

func startOrigin(proxies int, work time.Duration) *origin {
	o := &origin{work: work, now: make([]int, proxies)}
	for i := range proxies {
		o.servers = append(o.servers, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { o.serve(w, i) })))
	}
	return o
}

func (o *origin) serve(w http.ResponseWriter, proxy int) {
	o.mu.Lock()
	o.now[proxy]++
	all := 0
	for _, n := range o.now {
		all += n
	}
	o.seen = append(o.seen, arrival{time.Now(), o.now[proxy], all})
	o.mu.Unlock()
	if o.loaded.Load() {
		time.Sleep(o.work) // a query goes on when its client leaves
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	// Before the last byte is sent: what comes next over the same place is not beside this one.
	o.mu.Lock()
	o.now[proxy]--
	o.mu.Unlock()
	io.WriteString(w, body)
}

// arrivals are those until now.
func (o *origin) arrivals() []arrival {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]arrival(nil), o.seen...)
}

func (o *origin) stop() {
	for _, s := range o.servers {
		s.Close()
	}
}
