package upstream

import (
	"net/http"
	"sync/atomic"
	"time"

	"cacheproxy/policy/httpcache"
)

const (
	// tolerated is how many kept connections must be lost before requests that are sent once get connections of their
	// own. One kept connection may be lost by chance.
	tolerated = 2
	// heldFor is how many answers on kept connections make up for one lost connection.
	heldFor = 100
	// mostLosses bounds the losses that answers have to make up for.
	mostLosses = 10
	// lossesCount is how long losses count after the last of them. Then a request tries a kept connection again.
	lossesCount = 10 * time.Second
)

// losses tells whether an upstream closes kept connections while requests are on their way. A safe request is then
// repeated. Any other request fails, since nobody knows whether the upstream has seen the request. Without a proxy
// such a request would not fail, because its client would have made a new connection. Where losses come more often
// than by chance, the proxy makes a new connection for such a request. losses is safe for concurrent use. Concurrent
// calls may miscount a little, which does no harm. The zero value has seen no loss.
type losses struct {
	debt atomic.Int64 // answers on kept connections that are still owed; heldFor for each loss
	last atomic.Int64 // when the last loss was; Unix time in ns
}

// lost notes a request that was sent on a kept connection and was lost with it.
func (l *losses) lost(now time.Time) {
	if l.debt.Load() < mostLosses*heldFor {
		l.debt.Add(heldFor)
	}
	l.last.Store(now.UnixNano())
}

// held notes an answer on a kept connection.
func (l *losses) held() {
	if l.debt.Load() > 0 {
		l.debt.Add(-1)
	}
}

// frequent reports whether a request that can be sent only once should get a connection of its own.
func (l *losses) frequent(now time.Time) bool {
	return l.debt.Load() >= tolerated*heldFor && now.UnixNano()-l.last.Load() < int64(lossesCount)
}

// sentOnce reports whether a request must not be repeated after a part of it was sent.
func sentOnce(req *http.Request) bool {
	return !httpcache.Safe(req.Method) || req.Body != nil && req.Body != http.NoBody
}
