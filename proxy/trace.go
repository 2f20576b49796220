package proxy

import (
	"net/http"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// traceLookup tells the trace what the look-up found.
func (ex *exchange) traceLookup(c candidate) {
	found := [...]string{httpcache.Dead: "miss", httpcache.NeedsValidation: "validate", httpcache.StaleOnError: "stale-on-error", httpcache.StaleServable: "stale", httpcache.Fresh: "hit"}[c.use]
	ex.span.Lookup(observe.LookupTrace{
		Began: ex.start, Route: ex.route.Name, Found: found, Reason: c.reason, Key: ex.name(),
	})
}

// endTrace ends the request's span with what became of the request.
func (ex *exchange) endTrace() {
	if !ex.span.Recording() {
		return // there is nothing to end
	}
	pattern := ""
	if ex.match.Route != nil {
		pattern = ex.match.Pattern().Path()
	}
	ex.span.EndRequest(observe.RequestTrace{
		Request: ex.r, Scheme: ex.target.Scheme, Path: ex.target.Path, Pattern: pattern, Client: addrText(ex.clientAddr()),
		Status: ex.w.code, Aborted: ex.aborted(), Route: ex.route.Name, Outcome: ex.status.Outcome, Reason: ex.status.Reason,
		Key: ex.name(), RequestID: ex.requestID,
	})
}

// trace begins the span of a fill: a part of the trace of the request that waits for it. A renewal, for which nobody
// waits, is a trace of its own that says which request set it off.
func (p *Proxy) trace(q *fetch) *observe.Span {
	return p.tracer.Fill(q.asker, q.why == policy.Renewal, observe.FillTrace{Route: q.route.Name, Reason: q.why})
}

// ask makes a request that is about to be sent to the origin a part of the trace of parent. The func that it returns gets
// the head of the answer, or the error, and counts the request.
func (p *Proxy) ask(r *route, why policy.Reason, parent *observe.Span, req *http.Request) func(*http.Response, error) {
	start := time.Now()
	span := parent.Origin(req, r.Upstream)
	return func(res *http.Response, err error) {
		r.upstream.Request(r.Name, why)
		r.upstream.Answered(time.Since(start))
		if err != nil {
			span.Failed(upstream.Classify(err))
			span.End()
			return
		}
		span.EndOrigin(res.StatusCode)
	}
}
