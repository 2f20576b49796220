package upstream

import (
	"errors"
	"net/http"
)

// errLost is the end of a kept connection on which a request was sent and nothing came back.
var errLost = errors.New("the upstream closed a kept connection without an answer")

// delivery is the state of one request across its attempts. It belongs to the goroutine of Send.
type delivery struct {
	body     *keptBody
	sent     bool // something of the request may have been written in an attempt
	repeated bool // the request was repeated after something was sent; that is done once only
}

// again reports whether a request that was lost with its connection is sent once more, on a new connection to the same address.
//
// An upstream may close a kept connection in the moment in which a request is sent on it (RFC 9112 §9.3.1), or die with all that share one
// of HTTP/2, which is no reason to fail the client. If nothing of the request was written, the repeat is the first that the upstream sees of it, and any
// method may have it. Else the upstream may have acted on it, or even have died of it: only a request that is safe is repeated,
// and only once (RFC 9110 §9.2.2). Content is not sent twice: it comes from the client and is gone.
//
// An upstream that closes every connection soon after its answer, without Connection: close, may lose many requests in this way, although clients
// that ask it directly notice nothing. So these repeats are not bounded by their number, but by how many of them were in vain.
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
