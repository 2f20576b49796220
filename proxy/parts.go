package proxy

import (
	"net/http"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// wantsPart reports whether this request asks the origin for a part instead of the whole: there is no copy that could be
// confirmed, and nothing is known against keeping the answer but its size.
func (ex *exchange) wantsPart(c candidate) bool {
	return len(ex.ranges) > 0 && ex.route.Range == policy.RangePart && c.Copy == nil && (!c.Shareless || c.Why == policy.TooLarge)
}

// deliverParts answers with what is stored of a response that is not complete, if that is all that the request asks for
// (RFC 9111 §3.3). If it is not, c says so.
func (ex *exchange) deliverParts(c *candidate) bool {
	if c.Copy != nil || ex.r.Method != http.MethodGet || ex.trust == uninformed {
		return false
	}
	p := ex.p.store.LookupParts(string(ex.key), ex.selection(ex.selecting(*c)))
	if p == nil {
		return false
	}
	if use, _ := ex.judge(p.Of, ex.start); use != policy.Fresh || !policy.MeetsPreconditions(ex.r.Header, p.Of.Header()) {
		return false
	}
	if len(ex.ranges) > 0 && ex.answerFrom(p) {
		return true
	}
	c.reason, ex.status.Reason = policy.PartMiss, policy.PartMiss
	return false
}

// answerFrom answers with the parts that are asked for, if they are all there.
func (ex *exchange) answerFrom(p *store.Parts) bool {
	header := p.Of.Header()
	if policy.NotModified(ex.r.Header, ex.r.Method, p.Of.Status, header, p.Of.Life.Received) {
		ex.partHit(p)
		ex.deliverNotModified(header, p.Of.Life.Age(ex.start))
		return true
	}
	spans, ok := ex.ranges.Wholly(p.Size, p.Have())
	if !ok || !policy.RangeApplies(ex.r.Header, header) {
		return false
	}
	before := ex.status
	ex.partHit(p)
	age := p.Of.Life.Age(ex.start)
	if ex.deliverSpans(header, spans, p.Size, func(h http.Header) { ex.addHeader(h, age) }, ex.piecewise(p)) {
		return true
	}
	ex.status = before
	return false
}

func (ex *exchange) partHit(p *store.Parts) {
	ex.status.Outcome, ex.status.Reason = policy.Hit, policy.NoReason
	ex.excuse()
	ex.status.TTL, ex.status.HasTTL = p.Of.Life.Left(ex.start), true
}

// piecewise writes from a body of which parts are there.
func (ex *exchange) piecewise(p *store.Parts) spanWriter {
	return func(s policy.Span) error {
		for _, stretch := range p.Bytes(s) {
			if _, err := ex.w.Write(stretch); err != nil {
				return err
			}
		}
		return nil
	}
}
