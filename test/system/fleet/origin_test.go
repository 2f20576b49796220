package fleet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Origin answers with the version of what is asked for. GET /v/{key} reads it, PUT /v/{key} makes the next one. It may be used
// concurrently.
type Origin struct {
	server   *http.Server
	listener net.Listener
	tags     int
	versions []atomic.Int64
	at       []atomic.Int32 // requests for each key that are at work
	pause    time.Duration

	requests atomic.Int64
	inFlight atomic.Int64
	most     atomic.Int64 // of inFlight
	mostOf   atomic.Int64 // of requests for one key
}

// NewOrigin starts an origin with as many keys and tags. An answer takes up to pause, and now and then many times
// that: long enough for a purge to be acknowledged meanwhile.
func NewOrigin(keys, tags int, pause time.Duration) (*Origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for origin: %w", err)
	}
	o := &Origin{listener: l, tags: tags, versions: make([]atomic.Int64, keys), at: make([]atomic.Int32, keys), pause: pause}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = o.server.Serve(l) }() // ends with Close
	return o, nil
}

// URL is where it listens.
func (o *Origin) URL() string { return "http://" + o.listener.Addr().String() }

// Close ends it.
func (o *Origin) Close() error { return o.server.Close() }

// Bump makes the next version of a key, as something that goes around the proxies does.
func (o *Origin) Bump(key int) int64 { return o.versions[key].Add(1) }

// Tag is the tag of a key.
func (o *Origin) Tag(key int) int { return key % o.tags }

// Requests is how many requests it has answered.
func (o *Origin) Requests() int64 { return o.requests.Load() }

// Most is how many requests were at work at the same time at most, since the last call, and how many of them for one key.
func (o *Origin) Most() (all, forOne int64) { return o.most.Swap(0), o.mostOf.Swap(0) }

func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/v/")
	key, err := strconv.Atoi(name)
	if !ok || err != nil || key < 0 || key >= len(o.versions) {
		http.NotFound(w, r)
		return
	}
	o.requests.Add(1)
	raise(&o.most, o.inFlight.Add(1))
	raise(&o.mostOf, int64(o.at[key].Add(1)))
	defer o.inFlight.Add(-1)
	defer o.at[key].Add(-1)
	version := o.versions[key].Load()
	if r.Method == http.MethodPut {
		o.work()
		version = o.versions[key].Add(1)
	}
	o.work()
	h := w.Header()
	h.Set("Cache-Control", "max-age=600")
	h.Set("Surrogate-Key", fmt.Sprintf("tag-%d", o.Tag(key)))
	_, _ = fmt.Fprintf(w, "%d %d", key, version) // a client that has left
}

// work takes the time that an answer takes.
func (o *Origin) work() {
	pause := rand.N(o.pause + 1)
	if rand.IntN(10) == 0 {
		pause *= 40
	}
	<-time.After(pause)
}

func raise(v *atomic.Int64, to int64) {
	for {
		have := v.Load()
		if have >= to || v.CompareAndSwap(have, to) {
			return
		}
	}
}
