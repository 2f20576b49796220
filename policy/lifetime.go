package policy

import (
	"net/http"
	"time"
)

// heuristic are the statuses that may be stored without explicit freshness (RFC 9110 §15.1), without 206.
var heuristic = map[int]bool{
	200: true, 203: true, 204: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 414: true, 501: true,
}

// maxHeuristic bounds a lifetime that nobody stated (RFC 9111 §4.2.2 asks for caution beyond a day).
const maxHeuristic = 24 * time.Hour

// routeTTL is the lifetime that the route gives to a status for which the origin gives none; zero: none. Errors of the
// server get none ever.
func (r *Route) routeTTL(status int) time.Duration {
	switch status {
	case 200, 203, 204, 300, 301, 308:
		return r.TTL
	case 404, 410:
		return r.NegativeTTL
	}
	return 0
}

// arrival is when the response was made and came, and nothing of what may become of it. One that is not kept has an age as
// well: a 304 may be made of it (§4.3.2). Its age is what it came with: whether the origin's clock is behind is for the client
// to judge, who gets the same Date.
func arrival(f Fetch) Lifetime {
	date, dated := headerTime(f.Header["Date"])
	if !dated {
		date = f.Received
	}
	byAge, _ := correctedAge(f)
	return Lifetime{Date: date, Received: f.Received, InitialAge: byAge}
}

// lifetime works out for how long the response is fresh and may be kept, or why it is not worth storing.
func (r *Route) lifetime(f Fetch, d Directives) (Lifetime, Reason) {
	l := arrival(f)
	l.NoCache = d.NoCache
	byAge, certain := correctedAge(f)
	l.InitialAge = min(max(f.Received.Sub(l.Date), byAge, 0), maxDelta) // corrected_initial_age (§4.2.3)

	fresh, explicit := r.explicitFreshness(f.Header, l.Date, d)
	switch ttl := r.routeTTL(f.Status); {
	case explicit && certain:
		l.Fresh = fresh
	case explicit:
		// Nobody knows how old it is (§4.2.1).
	case ttl > 0:
		// The route's lifetime counts from the fetch, less the time spent in caches upstream: an origin whose clock is
		// behind (apparent_age) shall not make its answers stale before they arrive.
		l.InitialAge = byAge
		l.Fresh = jittered(ttl, r.Jitter*f.Jitter)
	case (heuristic[f.Status] || d.Public) && !certain:
	case heuristic[f.Status] || d.Public:
		l.Fresh = heuristicFreshness(f.Header, l.Date)
	default:
		return Lifetime{}, StatusNotStored
	}
	if l.NoCache {
		l.Fresh = 0
	}
	r.setWindows(&l, f.Status, d)
	validator := f.Status == http.StatusOK && hasValidator(f.Header)
	l.Keep = l.keep(validator)
	// A copy that can be neither served, now or when the origin fails, nor confirmed, would only take up memory.
	if !validator && l.State(f.Received) <= NeedsValidation {
		return Lifetime{}, NoFreshness
	}
	return l, NoReason
}

// explicitFreshness is the lifetime that the origin states, in the order that holds for shared caches (§4.2.1). What is
// stated so badly that it cannot be read is zero: stale.
func (r *Route) explicitFreshness(h http.Header, date time.Time, d Directives) (time.Duration, bool) {
	switch {
	case d.HasSMaxAge:
		return d.SMaxAge, true
	case d.HasMaxAge:
		return d.MaxAge, true
	case d.Targeted || len(h["Expires"]) == 0 || r.Override.Has(OverrideExpires):
		return 0, false
	}
	expires, valid := headerTime(h["Expires"])
	if !valid {
		return 0, true
	}
	return min(max(expires.Sub(date), 0), maxDelta), true
}

// heuristicFreshness is a tenth of the time that the content had not changed when it was sent (§4.2.2); zero where the
// origin does not say.
func heuristicFreshness(h http.Header, date time.Time) time.Duration {
	modified, ok := headerTime(h["Last-Modified"])
	if !ok {
		return 0
	}
	return min(max(date.Sub(modified)/10, 0), maxHeuristic)
}

// setWindows sets for how long the copy may be served stale. What the origin says goes before the route. The route's
// windows are for answers that its ttl is for: a stale error or a stale "not found" helps nobody.
func (r *Route) setWindows(l *Lifetime, status int, d Directives) {
	// s-maxage means proxy-revalidate as well (§5.2.2.10).
	l.MustRevalidate = d.MustRevalidate || d.ProxyRevalidate || d.HasSMaxAge && !r.Override.Has(OverrideMustRevalidate)
	if l.MustRevalidate || l.NoCache {
		return
	}
	if status < 400 {
		l.StaleWhileRevalidate, l.StaleIfError = r.StaleWhileRevalidate, r.StaleIfError
	}
	if d.HasStaleWhileRevalidate {
		l.StaleWhileRevalidate = d.StaleWhileRevalidate
	}
	if d.HasStaleIfError {
		l.StaleIfError = d.StaleIfError
	}
}

// correctedAge is corrected_age_value (§4.2.3): what caches upstream say, and how long the exchange took. It is not certain
// where Age is anything but one number. RFC 9111 §5.1 would take the first of several, and ignore what is no number; here
// that makes the response stale, as §4.2.1 encourages for freshness information that is invalid: a mistake never makes
// anything fresher than it is.
func correctedAge(f Fetch) (corrected time.Duration, certain bool) {
	var age time.Duration
	lines := f.Header["Age"]
	if certain = len(lines) == 0; len(lines) == 1 {
		age, certain = parseDelta(trimOWS(lines[0]))
	}
	delay := max(f.Received.Sub(f.Requested), 0)
	if f.Requested.IsZero() {
		delay = 0
	}
	return min(age+min(delay, maxDelta), maxDelta), certain
}

// jittered takes a share off a lifetime, so that what was stored together does not expire together.
func jittered(d time.Duration, share float64) time.Duration {
	return d - time.Duration(float64(d)*min(max(share, 0), 1))
}

// headerTime reads a field that holds one HTTP-date (RFC 9110 §5.6.7). Several lines are none, unless they are equal.
func headerTime(lines []string) (time.Time, bool) {
	if len(lines) == 0 {
		return time.Time{}, false
	}
	for _, line := range lines[1:] {
		if line != lines[0] {
			return time.Time{}, false
		}
	}
	return parseDate(trimOWS(lines[0]))
}
