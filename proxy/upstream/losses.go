package upstream

import (
	"net/http"
	"sync/atomic"
	"time"

	"cacheproxy/policy/httpcache"
)

const (
	// tolerated is from how many lost kept connections on requests that are sent only once get connections of their own. A single loss may be
	// chance.
	tolerated = 2
	// heldFor is how many answers on kept connections make up for one loss.
	heldFor = 100
	// mostLosses is how many losses are remembered at most.
	mostLosses = 10
	// lossesCount is for how long losses count after the last one. Then a request tries a kept connection again.
	lossesCount = 10 * time.Second
)

// losses tells whether an upstream often closes kept connections while requests are being sent on them. A safe request is repeated then. Any other
// fails, since it is not known whether the upstream has seen it; without a proxy it would have succeeded, on a new connection of its client's. So if
// that happens more often than by chance, such requests are sent on new connections. losses is safe for concurrent use; concurrent calls may
// miscount, which does not matter. The zero value is ready.
type losses struct {
	debt atomic.Int64 // how many answers on kept connections are needed until no loss counts; heldFor for each loss
	last atomic.Int64 // time of the last loss, in Unix nanoseconds
}

// lost counts a request that was lost with a kept connection.
func (l *losses) lost(now time.Time) {
	if l.debt.Load() < mostLosses*heldFor {
		l.debt.Add(heldFor)
	}
	l.last.Store(now.UnixNano())
}

// held counts an answer on a kept connection.
func (l *losses) held() {
	if l.debt.Load() > 0 {
		l.debt.Add(-1)
	}
}

// frequent reports whether a request that can be sent only once should have a connection of its own.
func (l *losses) frequent(now time.Time) bool {
	return l.debt.Load() >= tolerated*heldFor && now.UnixNano()-l.last.Load() < int64(lossesCount)
}

// sentOnce reports whether a request is not repeated after something of it was sent.
func sentOnce(req *http.Request) bool {
	return !httpcache.Safe(req.Method) || req.Body != nil && req.Body != http.NoBody
}
