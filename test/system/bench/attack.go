package bench

import (
	"context"
	"net/http"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// answerTimeout is how long the load generator waits for an answer.
const answerTimeout = 10 * time.Second

// Attack is requests over connections that are kept.
type Attack struct {
	Targets vegeta.Targeter
	Pacer   vegeta.Pacer
	For     time.Duration // zero: until the context ends
	Workers uint64        // how many send at first
	Most    uint64        // how many requests may be under way
}

// EverySecond is a steady rate, however long answers take.
func EverySecond(requests int) vegeta.Pacer {
	return vegeta.ConstantPacer{Freq: requests, Per: time.Second}
}

// Run sends the requests until their time is over or the context ends, and gives each result to one func, one at a time.
func (a Attack) Run(ctx context.Context, each func(*vegeta.Result)) {
	transport := &http.Transport{MaxIdleConns: int(a.Most), MaxIdleConnsPerHost: int(a.Most), DisableCompression: true}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Workers(a.Workers), vegeta.MaxWorkers(a.Most), vegeta.MaxBody(0),
		vegeta.Client(&http.Client{Transport: transport, Timeout: answerTimeout}))
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()
	for result := range attacker.Attack(a.Targets, a.Pacer, a.For, "") {
		each(result)
	}
}
