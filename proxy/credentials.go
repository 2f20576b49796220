package proxy

import (
	"net/http"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// credentials answers a read with Authorization (RFC 9111 §3.5): from a copy that the origin allows for it, or by asking
// the origin for this request alone. It neither waits for others nor do others wait for it: whether its answer is theirs
// too is not known before it is there.
func (ex *exchange) credentials() {
	query, reason := ex.route.Query.Apply(ex.target.Query)
	if reason != policy.NoReason {
		ex.pass(reason)
		return
	}
	ex.query = query
	ex.key = ex.appendKey(ex.key, ex.r.Header)
	ex.ranges = httpcache.ParseRanges(ex.r.Method, ex.r.Header)
	ex.wishes, ex.personal = ex.route.Client.Heeded(ex.r.Header), true
	c := ex.lookup(string(ex.key), ex.start)
	switch {
	case c.use == serve:
		ex.hit(c)
	case onlyIfCached(ex.r.Header):
		ex.refuseUncached()
	case ex.r.Method == http.MethodGet && len(ex.ranges) == 0 && !ex.wishes.NoStore && ex.route.ForwardHeaders == policy.ForwardAll:
		ex.status.Reason = policy.Authorization
		ex.alone(c)
	default:
		ex.pass(policy.Authorization)
	}
}

// judgedBy is the part of a copy's header by which storing it was decided.
func (r *route) judgedBy(c *store.Copy) http.Header {
	h := make(http.Header, 4)
	for _, name := range append([]string{"Cache-Control", "Pragma"}, r.Targets...) {
		if lines := c.Values(name); lines != nil {
			h[name] = lines
		}
	}
	return h
}

// identify makes a fill one with credentials, and lets the origin know whom they came from.
func (ex *exchange) identify(q *fetch, names []string) {
	header, ok := ex.route.CredentialsHeader(ex.r.Header, names)
	if !ok {
		return
	}
	q.forward, q.personal, q.client = header, true, peerAddr(ex.r)
	if ex.trusted() {
		for _, name := range [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
			if lines := ex.r.Header[name]; len(lines) > 0 {
				q.forward[name] = append([]string(nil), lines...)
			}
		}
	}
}
