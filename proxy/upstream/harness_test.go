package upstream

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// RoundTrip sends req, whose URL SetTarget has set, when there is a place for it, as a write of no route. The caller must read
// the response's body to its end or close it.
func (u *Upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	slot, err := u.Acquire(req.Context(), Place{})
	if err != nil {
		if req.Body != nil {
			req.Body.Close() // RoundTrip owns the body; its error cannot matter any more
		}
		return nil, fmt.Errorf("send to upstream %s: %w", u.options.Name, err)
	}
	return u.Send(req, slot)
}

// wantNothingLeft fails the test unless u holds nothing for anybody when all is over.
func wantNothingLeft(t *testing.T, u *Upstream) {
	t.Helper()
	left := func() string {
		u.limiter.mu.Lock()
		defer u.limiter.mu.Unlock()
		u.balancer.mu.Lock()
		defer u.balancer.mu.Unlock()
		l, there := u.limiter, 0
		for _, a := range u.balancer.addresses {
			there += a.inFlight
		}
		if l.inFlight+l.streams+l.queued+len(l.streamsOf)+l.lent.Len()+l.ending+there == 0 {
			return ""
		}
		return fmt.Sprintf("%d places, %d streams, %d in the queue, %v of clients, %d lent, %d ending, %d at the addresses", l.inFlight, l.streams, l.queued, l.streamsOf, l.lent.Len(), l.ending, there)
	}
	for deadline := time.Now().Add(10 * time.Second); left() != "" && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	if what := left(); what != "" {
		t.Errorf("left over: %s", what)
	}
}

// shedBy is how many requests were refused a place, or a stream.
func shedBy(u *Upstream) int {
	u.limiter.mu.Lock()
	defer u.limiter.mu.Unlock()
	return int(u.limiter.shed)
}
