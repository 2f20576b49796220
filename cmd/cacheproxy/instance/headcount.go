package instance

import (
	"time"

	"cacheproxy/proxy/upstream"
)

// headcount is how many instances share what an origin may have at work. More are heeded at once. Fewer have to have been
// fewer for a while: a server that has come back empty hears from one after another, one that is not heard of may go on with
// the share that it had, and one that has just started must not have its share before the others have given it up.
type headcount struct {
	settle  time.Duration // how long that is
	counted int
	since   time.Time // since when there are fewer; zero: there are not
	most    int       // that there were since then
}

func newHeadcount(settle time.Duration) headcount {
	return headcount{settle: settle, counted: upstream.AssumedInstances}
}

// see takes in how many are live, and says how many count.
func (h *headcount) see(live int, now time.Time) int {
	switch {
	case live >= h.counted:
		h.counted, h.since = live, time.Time{}
	case live < 1: // there is no news
		h.since = time.Time{}
	case h.since.IsZero():
		h.since, h.most = now, live
	default:
		h.most = max(h.most, live)
		if now.Sub(h.since) >= h.settle {
			h.counted, h.since = h.most, time.Time{}
		}
	}
	return h.counted
}
