package upstream

import (
	"errors"
	"net/http"
)

// errLost is the end of a kept connection on which a request was sent and nothing came back.
var errLost = errors.New("the upstream closed a kept connection without an answer")

// delivery records what was done so far to bring one request to the upstream. Only the goroutine of Send uses it.
type delivery struct {
	body     *keptBody
	sent     bool // a part of the request may have been written, on any connection
	repeated bool // sent again after a part was sent; allowed once
}

// again reports whether a request that failed on its way is sent once more on a new connection to the same address.
//
// An upstream may close a kept connection at the moment in which a request is sent on it (RFC 9112 §9.3.1), or die
// with all requests that share a connection of HTTP/2. The client should not fail for that. If nothing of the request
// was written, the upstream sees only the repeat, and any method may be repeated. Otherwise the upstream may have
// acted on the request, or even have died of it: only a safe request is repeated, and only once (RFC 9110 §9.2.2).
// Content is not sent twice: content comes from the client and is gone.
//
// Some upstreams close every connection soon after an answer, without notice. Such an upstream loses any share of its
// requests in this way, and fails no client that asks it directly. So not the number of these repeats is bounded, but
// the number of repeats that got no answer either.
func (u *Upstream) again(req *http.Request, way *trip, d *delivery) bool {
	switch {
	case !way.keptLost() || d.body.wasRead():
		return false
	case way.unsent():
		return true
	case d.repeated || sentOnce(req):
		return false
	}
	d.repeated = u.balancer.mayResend()
	return d.repeated
}
