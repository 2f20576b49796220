package httpcache

import (
	"net/http"
	"time"
)

// ForOrigin reports whether a request has preconditions that only an origin evaluates: If-Match and If-Unmodified-Since
// (RFC 9111 §4.3.2). A copy that meets them may answer all the same; see MeetsPreconditions.
func ForOrigin(req http.Header) bool {
	return len(req["If-Match"]) > 0 || len(req["If-Unmodified-Since"]) > 0
}

// MeetsPreconditions reports whether a copy with this header meets If-Match, or without If-Match If-Unmodified-Since
// (RFC 9110 §13.1.1, §13.1.4, §13.2.2). If the copy does not, the origin has to answer: a cache must not answer 412 in
// its place, and a client that puts ranges together would get bytes of another representation from the copy.
func MeetsPreconditions(req, stored http.Header) bool {
	if lines := req["If-Match"]; len(lines) > 0 {
		return matchesStrongly(lines, stored["Etag"])
	}
	lines := req["If-Unmodified-Since"]
	if len(lines) == 0 {
		return true
	}
	since, valid := headerTime(lines)
	modified, ok := headerTime(stored["Last-Modified"])
	return valid && len(lines) == 1 && ok && !modified.After(since)
}

// matchesStrongly reports whether an If-Match names the copy's ETag by strong comparison (RFC 9110 §8.8.3.2).
func matchesStrongly(lines, etag []string) bool {
	if len(lines) == 1 && TrimOWS(lines[0]) == "*" {
		return true
	}
	have, ok := fieldTag(etag)
	if !ok || have.weak {
		return false
	}
	return anyTag(lines, func(tag entityTag) bool { return tag == have })
}

// RangeApplies reports whether the ranges of a request apply to a response with this header: there is no If-Range, or
// it holds (RFC 9110 §13.1.5). An ETag is compared strongly. A date must equal Last-Modified, which must be a strong
// validator.
func RangeApplies(req, stored http.Header) bool {
	lines := req["If-Range"]
	if len(lines) == 0 {
		return true
	}
	if tag, ok := fieldTag(lines); ok {
		have, tagged := fieldTag(stored["Etag"])
		return tagged && !have.weak && tag == have
	}
	date, ok := headerTime(lines)
	modified, strong := strongModified(stored)
	return len(lines) == 1 && ok && strong && date.Equal(modified)
}

// strongModified is the Last-Modified of a response. ok is false unless the response was sent at least a second later,
// by the same clock (RFC 9110 §8.8.2.2). Otherwise the resource could have changed again within the second of
// Last-Modified.
func strongModified(stored http.Header) (time.Time, bool) {
	modified, ok := headerTime(stored["Last-Modified"])
	date, dated := headerTime(stored["Date"])
	return modified, ok && dated && date.Sub(modified) >= time.Second
}

// StrongValidator is the value for If-Range by which a part of a response with this header can be completed: its strong
// ETag, or a strong Last-Modified where the response has no ETag. Empty: no part can be completed (RFC 9111 §3.4).
func StrongValidator(stored http.Header) string {
	if lines := stored["Etag"]; len(lines) > 0 {
		if tag, ok := fieldTag(lines); ok && !tag.weak {
			return TrimOWS(lines[0])
		}
		return ""
	}
	if _, ok := strongModified(stored); ok {
		return TrimOWS(stored["Last-Modified"][0])
	}
	return ""
}
