package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// body is what the origin answers, about the size of a row as JSON.
var body = strings.Repeat("x", 1024)

// origin is a server that takes the same time for every request, and notes how
// many it had at once.
type origin struct {
	url    string
	work   time.Duration
	server *http.Server
	ended  chan error

	now, most, answered atomic.Int64
}

func startOrigin(work time.Duration) (*origin, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start origin: %w", err)
	}
	o := &origin{url: "http://" + listener.Addr().String(), work: work, ended: make(chan error, 1)}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: 10 * time.Second}
	go func() { o.ended <- o.server.Serve(listener) }()
	return o, nil
}

func (o *origin) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := o.now.Add(1)
	for most := o.most.Load(); n > most && !o.most.CompareAndSwap(most, n); most = o.most.Load() {
	}
	time.Sleep(o.work) // a query goes on when its client leaves
	o.answered.Add(1)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	// Before the last byte is sent: what comes next over the same place is not beside this one.
	o.now.Add(-1)
	io.WriteString(w, body)
}

func (o *origin) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := o.server.Shutdown(ctx)
	if served := <-o.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop origin: %w", err)
	}
	return nil
}
