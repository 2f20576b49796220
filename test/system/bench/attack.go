package bench

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// answerTimeout bounds the load generator's wait for an answer.
const answerTimeout = 10 * time.Second

// Attack is a load of requests over kept connections.
type Attack struct {
	Targets vegeta.Targeter
	Pacer   vegeta.Pacer
	For     time.Duration // zero: until the context ends
	Workers uint64        // senders at the start
	Most    uint64        // bound on requests under way
}

// EverySecond is a steady rate, however long answers take.
func EverySecond(requests int) vegeta.Pacer {
	return vegeta.ConstantPacer{Freq: requests, Per: time.Second}
}

// Run sends requests until For is over or the context ends, and calls each with every result, one at a time.
func (a Attack) Run(ctx context.Context, each func(*vegeta.Result)) {
	transport := &http.Transport{MaxIdleConns: int(a.Most), MaxIdleConnsPerHost: int(a.Most), DisableCompression: true}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Workers(a.Workers), vegeta.MaxWorkers(a.Most), vegeta.MaxBody(0),
		vegeta.Client(&http.Client{Transport: unmarked{transport}, Timeout: answerTimeout}))
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()
	for result := range attacker.Attack(a.Targets, a.Pacer, a.For, "") {
		each(result)
	}
}

// unmarked removes the load generator's own fields from requests. No route lists these fields, so every request would
// go past the cache.
type unmarked struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (u unmarked) RoundTrip(r *http.Request) (*http.Response, error) {
	plain := *r
	plain.Header = maps.Clone(r.Header)
	maps.DeleteFunc(plain.Header, func(name string, _ []string) bool { return strings.HasPrefix(name, "X-Vegeta-") })
	return u.RoundTripper.RoundTrip(&plain)
}
