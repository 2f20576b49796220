package policy

import (
	"time"

	"cacheproxy/policy/httpcache"
)

// Status has the content of Cache-Status for one answer (RFC 9211 §2). The zero value is a passed request.
type Status struct {
	Outcome   Outcome
	Reason    Reason
	Detail    string        // replaces the word of the reason; empty: the reason's word
	TTL       time.Duration // freshness left, negative when stale; rounded down to seconds
	HasTTL    bool
	FwdStatus int  // status of the origin; zero: the origin did not answer, or was not asked
	Stored    bool // the answer was stored
	Collapsed bool // the answer came with another request's; Outcome Collapsed implies it
	Apart     bool // the request waited for another request's answer, which was not for it or did not come
	Key       string

	asked string // why a failed request went to the origin; empty: the outcome and the reason say why
}

// Failing is s for a request that went to the origin and got no answer. why is the reason why there is no answer. The
// reason why the request went to the origin stays.
func (s Status) Failing(outcome Outcome, why Reason) Status {
	s.asked = s.forward()
	s.Outcome, s.Reason = outcome, why
	return s
}

// Append appends the member of the Cache-Status list to dst, valid for any Detail and Key. It allocates only if dst has
// no room.
func (s Status) Append(dst []byte) []byte {
	fwd := s.forward()
	c := httpcache.CacheStatus{
		Hit: fwd == "" && (s.Outcome == Hit || s.Outcome == Stale), Forward: fwd, ForwardStatus: s.FwdStatus, Stored: s.Stored,
		TTL: s.TTL, HasTTL: s.HasTTL, Key: s.Key, Detail: s.detail(fwd),
		Collapsed: s.Collapsed || s.Outcome == Collapsed, Apart: s.Apart,
	}
	if s.Outcome == Revalidated {
		c.ForwardStatus = 304
	}
	return c.Append(dst)
}

// forward is why the request went on to the origin (RFC 9211 §2.2); empty: the request did not.
func (s Status) forward() string {
	switch s.Outcome {
	case Hit, Shed, Queued, Board:
		return ""
	case Write:
		return "method"
	case Revalidated:
		if s.Reason == ClientDirective {
			return "request"
		}
		return "stale"
	case Stale:
		// A copy in place of an answer that the origin failed to give: the request went to the origin, so this is no
		// hit (§2.1).
		if s.FwdStatus != 0 || s.Reason.fromOrigin() {
			return "stale"
		}
		return ""
	case Failed:
		switch {
		case s.FwdStatus == 0 && !s.Reason.fromOrigin():
			return ""
		case s.asked != "":
			return s.asked
		}
		return "miss"
	case Miss, Collapsed:
		return s.Reason.missed()
	case Pass:
		switch s.Reason {
		case MethodUnsafe, methodOther:
			return "method"
		case WaitersFull, WaitTimeout, HeadMiss:
			return "miss"
		}
	}
	return "bypass"
}

// detail is the word that completes fwd or hit; empty where these say everything.
func (s Status) detail(fwd string) string {
	switch {
	case s.Detail != "":
		return s.Detail
	case s.Outcome >= WouldHit:
		return s.Outcome.String()
	}
	switch s.Reason {
	case URIMiss, VaryMiss, PartMiss, MethodUnsafe:
		return ""
	case Expired:
		if fwd == "stale" {
			return ""
		}
	case routeBypass:
		if fwd == "bypass" {
			return ""
		}
	}
	return s.Reason.String()
}

// fromOrigin reports whether the origin was asked and gave no usable answer.
func (r Reason) fromOrigin() bool {
	return r == OriginError || r == OriginTimeout || r == OriginStatus
}

// missed is the fwd of an answer that was fetched because of the result of a look-up. Reasons why the answer was not
// stored do not affect fwd.
func (r Reason) missed() string {
	switch r {
	case URIMiss:
		return "uri-miss"
	case VaryMiss:
		return "vary-miss"
	case Expired, SoftPurged, Unconfirmed, FeedDown:
		return "stale"
	case ClientDirective:
		return "request"
	case PartMiss:
		return "partial"
	}
	return "miss"
}
