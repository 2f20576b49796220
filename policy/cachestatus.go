package policy

import (
	"strconv"
	"time"
)

// Status is what Cache-Status says about one answer (RFC 9211 §2). The zero value is a request passed on.
type Status struct {
	Outcome   Outcome
	Reason    Reason
	Detail    string        // said instead of the reason's word; empty: the reason's
	TTL       time.Duration // freshness left, negative when stale; rounded down to seconds
	HasTTL    bool
	FwdStatus int  // what the origin answered; zero: nothing, or nobody asked it
	Stored    bool // the answer was stored
	Collapsed bool // the answer came with another request's; Outcome Collapsed implies it
	Apart     bool // it waited for another request's, which was not for it or did not come
	Key       string
}

// Append appends the member of the Cache-Status list to dst: one Item with parameters (RFC 8941 §3.3), always valid
// whatever Detail and Key hold. It allocates only if dst has no room.
func (s Status) Append(dst []byte) []byte {
	dst = append(dst, Pseudonym...)
	fwd := s.forward()
	switch {
	case fwd != "":
		dst = append(append(dst, "; fwd="...), fwd...)
		dst = s.appendForwarded(dst)
	case s.Outcome == Hit || s.Outcome == Stale:
		dst = append(dst, "; hit"...)
	}
	if s.HasTTL {
		dst = strconv.AppendInt(append(dst, "; ttl="...), floorSeconds(s.TTL), 10)
	}
	if s.Key != "" {
		dst = appendString(append(dst, "; key="...), s.Key)
	}
	switch detail := s.detail(fwd); {
	case detail == "":
	case isSFToken(detail):
		dst = append(append(dst, "; detail="...), detail...)
	default:
		dst = appendString(append(dst, "; detail="...), detail)
	}
	return dst
}

// appendForwarded appends the parameters that exist only where the request went on to the origin.
func (s Status) appendForwarded(dst []byte) []byte {
	status := s.FwdStatus
	if s.Outcome == Revalidated {
		status = 304
	}
	if status != 0 {
		dst = strconv.AppendInt(append(dst, "; fwd-status="...), int64(status), 10)
	}
	if s.Stored {
		dst = append(dst, "; stored"...)
	}
	switch {
	case s.Collapsed || s.Outcome == Collapsed:
		dst = append(dst, "; collapsed"...)
	case s.Apart:
		dst = append(dst, "; collapsed=?0"...)
	}
	return dst
}

// forward is why the request went on to the origin (RFC 9211 §2.2); empty: it did not.
func (s Status) forward() string {
	switch s.Outcome {
	case Hit, Shed:
		return ""
	case Write:
		return "method"
	case Revalidated:
		if s.Reason == ClientDirective {
			return "request"
		}
		return "stale"
	case Stale:
		// Served in place of what the origin failed to give: it was asked, so this is no hit (§2.1).
		if s.FwdStatus != 0 || s.Reason.fromOrigin() {
			return "stale"
		}
		return ""
	case Failed:
		if s.FwdStatus != 0 || s.Reason.fromOrigin() {
			return "miss"
		}
		return ""
	case Miss, Collapsed:
		return s.Reason.missed()
	case Pass:
		switch s.Reason {
		case MethodUnsafe, MethodOther:
			return "method"
		case WaitersFull, WaitTimeout, HeadMiss:
			return "miss"
		}
	}
	return "bypass"
}

// detail is the word that adds to fwd or hit; empty where they say it all.
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
	case RouteBypass:
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

// missed is the fwd of an answer fetched because of what the look-up found. Reasons why it was not stored say nothing
// about that.
func (r Reason) missed() string {
	switch r {
	case URIMiss:
		return "uri-miss"
	case VaryMiss:
		return "vary-miss"
	case Expired, SoftPurged:
		return "stale"
	case ClientDirective:
		return "request"
	case PartMiss:
		return "partial"
	}
	return "miss"
}

// floorSeconds rounds down, so that what has just become stale has a negative ttl.
func floorSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second < 0 {
		s--
	}
	return s
}

// appendString appends a String (RFC 8941 §3.3.3). Bytes that it cannot hold are percent-encoded.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// isSFToken reports whether s is a Token (RFC 8941 §3.3.4).
func isSFToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alpha := c|0x20 >= 'a' && c|0x20 <= 'z'
		if i == 0 && !alpha && c != '*' || i > 0 && !tokenBytes[c] && c != ':' && c != '/' {
			return false
		}
	}
	return s != ""
}
