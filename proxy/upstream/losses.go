package upstream

import (
	"net/http"
	"sync/atomic"
	"time"

	"cacheproxy/policy/httpcache"
)

const (
	// tolerated is how many kept connections may be lost before requests that are sent once go out on connections of their own: more than
	// one that meets its end by chance.
	tolerated = 2
	// heldFor is how many answers on kept connections make up for one that was lost.
	heldFor = 100
	// mostLosses bounds what answers have to make up for.
	mostLosses = 10
	// lossesCount is for how long they count after the last of them. Then a request tries a kept connection again.
	lossesCount = 10 * time.Second
)

// losses tells whether an upstream closes kept connections while requests are on their way on them. A request that is safe is repeated
// then; any other fails, since nobody knows whether the upstream has seen it, as it would not without a proxy: its client would have made a
// connection of its own. Where that happens more often than by chance, the proxy makes one for it. It is safe for concurrent use, and what
// concurrent calls miscount does not matter. The zero value has seen nothing.
type losses struct {
	debt atomic.Int64 // answers on kept connections that are owed; heldFor for each loss
	last atomic.Int64 // when the last one was; Unix time in ns
}

// lost is told of a request that was sent on a kept connection, and lost with it.
func (l *losses) lost(now time.Time) {
	if l.debt.Load() < mostLosses*heldFor {
		l.debt.Add(heldFor)
	}
	l.last.Store(now.UnixNano())
}

// held is told of an answer on a kept connection.
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
