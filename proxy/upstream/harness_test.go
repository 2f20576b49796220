package upstream

import (
	"fmt"
	"net/http"
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

// shedBy is how many requests were refused a place, or a stream.
func shedBy(u *Upstream) int { return u.read(func(l *limiter) int { return int(l.shed) }) }
