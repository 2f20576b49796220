package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// JudgePart decides whether a 206 may be kept as a part of the whole that its Content-Range names; Store says so.
// Waiting requests never share a part. The rules for the whole apply (RFC 9111 §3.3). f is the exchange, unchanged.
func (r *Route) JudgePart(f Fetch) (httpcache.PartOf, Verdict) {
	part, v := r.judgePart(f)
	if !v.Store {
		v.Lifetime = httpcache.Arrival(f.Header, f.Requested, f.Received)
	}
	return part, v
}

func (r *Route) judgePart(f Fetch) (httpcache.PartOf, Verdict) {
	if f.Status != http.StatusPartialContent {
		return httpcache.PartOf{}, Verdict{Reason: RangeRequest}
	}
	part, ok := httpcache.ParseContentRange(f.Header)
	if !ok || f.BodyLength >= 0 && f.BodyLength != part.Len() {
		return httpcache.PartOf{}, Verdict{Reason: Partial}
	}
	// max_object bounds the part that is kept here. min_bytes counts for the whole of the part.
	switch {
	case f.MaxObject > 0 && part.Len() > f.MaxObject:
		return part, Verdict{Reason: TooLarge}
	case part.Size < r.StoreIf.MinBytes:
		return part, Verdict{Reason: TooSmall}
	}
	f.Status, f.Header, f.BodyLength = http.StatusOK, httpcache.WholeHeader(f.Header), -1
	v := r.Judge(f)
	v.Share = false
	return part, v
}
