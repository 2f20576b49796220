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

// body is the origin's answer, about the size of a row as JSON.
var body = strings.Repeat("x", 1024)

// origin is a server that takes the same time for every request. origin has an address for each proxy, and records how
// many requests of each proxy were at work.
type origin struct {
	servers []*httptest.Server
	work    time.Duration

	loaded atomic.Bool // before, requests take no time

	mu   sync.Mutex
	now  []int     // requests at work, by proxy; guarded by mu
	seen []arrival // guarded by mu
}

// arrival is the arrival of a request at the origin, with the requests at work, including itself.
type arrival struct {
	at       time.Time
	of, most int // requests at work of the same proxy, and of all
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
		time.Sleep(o.work) // a query goes on after its client has left
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	// The count falls before the last byte is sent: the next request in the same place is not concurrent with this one.
	o.mu.Lock()
	o.now[proxy]--
	o.mu.Unlock()
	io.WriteString(w, body)
}

// arrivals are all arrivals so far.
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
