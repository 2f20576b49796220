package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// body is the origin's answer, about the size of a row as JSON.
var body = strings.Repeat("x", 1024)

// origin is a server that takes the same time for every request, and records the most concurrent requests.
type origin struct {
	work                time.Duration
	now, most, answered atomic.Int64
}

func (o *origin) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := o.now.Add(1)
	for most := o.most.Load(); n > most && !o.most.CompareAndSwap(most, n); most = o.most.Load() {
	}
	time.Sleep(o.work) // a query goes on after its client has left
	o.answered.Add(1)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	// The count falls before the last byte is sent: the next request in the same place is not concurrent with this one.
	o.now.Add(-1)
	io.WriteString(w, body)
}
