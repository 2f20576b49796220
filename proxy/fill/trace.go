package fill

import (
	"net/http"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// trace begins the span of a fill, as a part of the trace of the request that waits for the fill. No request waits
// for a renewal: a renewal has a trace of its own, which says which request set the renewal off.
func (f *Filler) trace(q *Request) *observe.Span {
	return f.tracer.Fill(q.Span, q.Why == policy.Renewal, observe.FillTrace{Route: q.Route.Name, Reason: q.Why})
}

// Sending makes a request that is about to be sent to the origin a part of the trace of parent. The caller must call
// the returned func with the header of the answer, or the error. That func counts the request.
func (r *Route) Sending(why policy.Reason, parent *observe.Span, req *http.Request) func(*http.Response, error) {
	start := time.Now()
	span := parent.Origin(req, r.Upstream)
	return func(res *http.Response, err error) {
		r.Requests.Request(r.Name, why)
		r.Requests.Answered(time.Since(start))
		if err != nil {
			span.Failed(upstream.Classify(err))
			span.End()
			return
		}
		span.EndOrigin(res.StatusCode, upstream.Peer(res))
	}
}
