package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
	urls   []string
	work   time.Duration
	server *http.Server
	ended  chan error

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

type proxyNumber struct{}

func startOrigin(proxies int, work time.Duration) (*origin, error) {
	o := &origin{work: work, ended: make(chan error, proxies), now: make([]int, proxies)}
	numbers := map[net.Addr]int{}
	o.server = &http.Server{
		Handler: o, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), proxyNumber{}, numbers[l.Addr()])
		},
	}
	var listeners []net.Listener
	for i := range proxies {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("start origin: %w", err)
		}
		numbers[l.Addr()] = i
		listeners = append(listeners, l)
		o.urls = append(o.urls, "http://"+l.Addr().String())
	}
	for _, l := range listeners {
		go func() { o.ended <- o.server.Serve(l) }()
	}
	return o, nil
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	proxy := r.Context().Value(proxyNumber{}).(int)
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

func (o *origin) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := o.server.Shutdown(ctx)
	for range o.urls {
		if served := <-o.ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}
	if err != nil {
		return fmt.Errorf("stop origin: %w", err)
	}
	return nil
}
