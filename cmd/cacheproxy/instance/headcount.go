package instance

import (
	"time"

	"cacheproxy/proxy/upstream"
)

// headcount is how many instances share the limit of an origin. A larger number counts at once. A smaller number counts
// only after it has stayed smaller for settle, for three reasons. A server that has come back empty hears from one
// instance after another. An instance without contact may still use its share. An instance that has just started must
// not use its share before the others have given it up.
type headcount struct {
	settle  time.Duration // how long the number must stay smaller
	counted int
	since   time.Time // since when the number is smaller; zero: it is not
	most    int       // largest number since then
}

func newHeadcount(settle time.Duration) headcount {
	return headcount{settle: settle, counted: upstream.AssumedInstances}
}

// see takes the number of live instances and returns the number that counts.
func (h *headcount) see(live int, now time.Time) int {
	switch {
	case live >= h.counted:
		h.counted, h.since = live, time.Time{}
	case live < 1: // no news
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
