package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"cacheproxy/test/system/bench"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const (
	// host is the Host of every request: clients know a fleet by one name.
	host = "shop.example"
	// most bounds the load generator's requests under way.
	most = 6000
)

// routes are the routes of the configuration.
var routes = []string{"stale", "origin"}

// read is one answered read.
type read struct {
	sent  time.Time
	took  time.Duration
	route int
	code  int    // 0: no answer
	word  string // result in Cache-Status, or the error
	bare  bool   // 503 without Retry-After
}

// send reads from all proxies at a steady rate until ctx ends.
func (f *fleet) send(ctx context.Context, o options) []read {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	popularity := rand.NewZipf(random, o.exponent, 1, uint64(o.keys-1))
	header := http.Header{"Host": {host}}
	targets := func(t *vegeta.Target) error {
		mu.Lock()
		p, route, key := f.proxies[random.IntN(len(f.proxies))], routes[random.IntN(len(routes))], popularity.Uint64()
		mu.Unlock()
		t.Method, t.URL, t.Header = http.MethodGet, fmt.Sprintf("%s/%s/%d", p.URL, route, key), header
		return nil
	}
	var reads []read
	bench.Attack{Targets: targets, Pacer: bench.EverySecond(o.rate), Workers: 256, Most: most}.Run(ctx, func(result *vegeta.Result) {
		reads = append(reads, readOf(result))
	})
	return reads
}

func readOf(result *vegeta.Result) read {
	r := read{sent: result.Timestamp, took: result.Latency, code: int(result.Code)}
	for i, name := range routes {
		if strings.Contains(result.URL, "/"+name+"/") {
			r.route = i
		}
	}
	status := result.Headers.Get("Cache-Status")
	switch {
	case r.code == 0:
		r.word = result.Error
	case r.code != http.StatusOK:
		_, r.word, _ = strings.Cut(status, "detail=")
		r.bare = result.Headers.Get("Retry-After") == ""
	case strings.Contains(status, "; hit"):
		r.word = "hit"
	case strings.Contains(status, "; collapsed"):
		r.word = "collapsed"
	default:
		r.word = "miss"
	}
	return r
}

// purge is one purge.
type purge struct {
	sent time.Time
	took time.Duration
	code int
}

// purge sends purges at a steady rate until ctx ends, each of one key at any proxy, and waits for their answers.
func (f *fleet) purge(ctx context.Context, o options) []purge {
	var mu sync.Mutex
	var purges []purge
	var ordering sync.WaitGroup
	popularity := rand.NewZipf(rand.New(rand.NewPCG(3, 4)), o.exponent, 1, uint64(o.keys-1))
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.purges))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ordering.Wait()
			return purges
		}
		p, key := f.proxies[n%len(f.proxies)], fmt.Sprintf("%s:%d", routes[n%len(routes)], popularity.Uint64())
		ordering.Go(func() {
			done := purge{sent: time.Now()}
			res, err := f.client.Post(p.Admin+"/purge", "application/json", strings.NewReader(fmt.Sprintf(`{"keys":[%q]}`, key)))
			done.took = time.Since(done.sent)
			if err == nil {
				done.code = res.StatusCode
				res.Body.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			purges = append(purges, done)
		})
	}
}
