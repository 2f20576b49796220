package httpcache

import (
	"net/http"
	"time"
)

// heuristic are the statuses that may be stored without explicit freshness (RFC 9110 §15.1), without 206.
var heuristic = map[int]bool{
	200: true, 203: true, 204: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 414: true, 501: true,
}

// maxHeuristic bounds a heuristic lifetime (RFC 9111 §4.2.2 asks for caution beyond a day).
const maxHeuristic = 24 * time.Hour

// Arrival is the Lifetime of a response with only Date, Received and InitialAge. A response that is not stored needs an
// age as well: a 304 may be made of it (RFC 9111 §4.3.2). The age is corrected_age_value (§4.2.3). Whether the origin's
// clock is slow is for the client to judge, who gets the same Date. requested is when the request was sent, zero where
// that is unknown; received is when the header arrived.
func Arrival(h http.Header, requested, received time.Time) Lifetime {
	date, dated := headerTime(h["Date"])
	if !dated {
		date = received
	}
	return Lifetime{Date: date, Received: received, InitialAge: correctedAge(h, requested, received)}
}

// ApparentAge is the same lifetime with corrected_initial_age: at least the age by the origin's clock (RFC 9111
// §4.2.3).
func (l Lifetime) ApparentAge() Lifetime {
	l.InitialAge = min(max(l.Received.Sub(l.Date), l.InitialAge, 0), maxDelta)
	return l
}

// HeuristicStatus reports whether a response with this status may be stored without explicit freshness (RFC 9110 §15.1).
func HeuristicStatus(status int) bool { return heuristic[status] }

// ExplicitFreshness is the lifetime that the origin states, in the order for shared caches (RFC 9111 §4.2.1). A
// malformed statement counts as zero: stale. date is when the response was made.
func (d Directives) ExplicitFreshness(h http.Header, date time.Time) (time.Duration, bool) {
	switch {
	case d.HasSMaxAge:
		return d.SMaxAge, true
	case d.HasMaxAge:
		return d.MaxAge, true
	case d.Targeted || len(h["Expires"]) == 0:
		return 0, false
	}
	expires, valid := headerTime(h["Expires"])
	if !valid {
		return 0, true
	}
	return min(max(expires.Sub(date), 0), maxDelta), true
}

// HeuristicFreshness is a tenth of the time between Last-Modified and the response (RFC 9111 §4.2.2); zero where the
// origin does not send Last-Modified.
func HeuristicFreshness(h http.Header, date time.Time) time.Duration {
	modified, ok := headerTime(h["Last-Modified"])
	if !ok {
		return 0
	}
	return min(max(date.Sub(modified)/10, 0), maxHeuristic)
}

// correctedAge is corrected_age_value (RFC 9111 §4.2.3): the Age from caches upstream plus the duration of the
// exchange. Of several members of Age, in one line or in many, the first counts. If that member is no non-negative
// integer, the field is ignored (§5.1).
func correctedAge(h http.Header, requested, received time.Time) time.Duration {
	var age time.Duration
	for member := range Elements(h["Age"]) {
		if member != "" {
			age, _ = parseDelta(member)
			break
		}
	}
	delay := max(received.Sub(requested), 0)
	if requested.IsZero() {
		delay = 0
	}
	return min(age+min(delay, maxDelta), maxDelta)
}
