package inventory

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"time"
)

// through says by which instance a write came.
const through = "X-Through"

// fault is what befalls one write at the shop.
type fault int32

const (
	none        fault = iota
	killBefore        // its proxy is killed, and the shop does it after that
	killAfter         // the shop does it, and its proxy is killed before it is answered
	silentAfter       // the shop does it, and does not answer in time
	slowBefore        // the shop does it when its proxy has given up waiting
)

// origin is a shop to whose writes something may happen.
type origin struct {
	shop http.Handler
	kill func(instance int)
	next atomic.Int32 // the fault that befalls the next write
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		o.shop.ServeHTTP(w, r)
		return
	}
	what := fault(o.next.Swap(int32(none)))
	by, _ := strconv.Atoi(r.Header.Get(through))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its sender is gone in the middle of it
	}
	alone := r.WithContext(context.WithoutCancel(r.Context())) // the shop gives up what nobody waits for, and would do nothing then
	alone.Body = io.NopCloser(bytes.NewReader(body))
	switch what {
	case killBefore:
		o.kill(by)
	case slowBefore:
		<-time.After(originTimeout + 200*time.Millisecond)
	}
	answer := httptest.NewRecorder()
	o.shop.ServeHTTP(answer, alone)
	switch what {
	case killAfter:
		o.kill(by)
	case silentAfter:
		<-time.After(originTimeout + 200*time.Millisecond)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // whoever is gone does not hear it
}
