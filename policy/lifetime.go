package policy

import (
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
)

// ttlOf is the lifetime that a route gives to a status for which the origin gives none; zero: none. Errors of the
// server never get one.
func ttlOf(status int, ttl, negative time.Duration) time.Duration {
	switch status {
	case 200, 203, 204, 300, 301, 308:
		return ttl
	case 404, 410:
		return negative
	}
	return 0
}

// lifetime computes how long the response is fresh and may be kept, or the reason why it is not worth storing.
func (r *Route) lifetime(f Fetch, d httpcache.Directives) (httpcache.Lifetime, Reason) {
	arrival := httpcache.Arrival(f.Header, f.Requested, f.Received)
	l := arrival.ApparentAge()
	l.NoCache = d.NoCache

	fresh, explicit := r.Override.explicitFreshness(f.Header, l.Date, d)
	switch ttl := ttlOf(f.Status, r.TTL, r.NegativeTTL); {
	case explicit:
		l.Fresh = fresh
	case ttl > 0:
		// The route's lifetime counts from the fetch, less the time in caches upstream. With apparent_age, an origin
		// whose clock is slow would make its answers stale before they arrive.
		l.InitialAge = arrival.InitialAge
		l.Fresh = jittered(ttl, r.Jitter*f.Jitter)
	case httpcache.HeuristicStatus(f.Status) || d.Public:
		// The heuristic is for routes without a ttl: a route with a ttl of seconds must not keep a 404 for a day by its
		// Last-Modified.
		if r.TTL == 0 {
			l.Fresh = httpcache.HeuristicFreshness(f.Header, l.Date)
		}
	default:
		return httpcache.Lifetime{}, statusNotStored
	}
	if l.NoCache {
		l.Fresh = 0
	}
	// s-maxage means proxy-revalidate as well (§5.2.2.10).
	l.MustRevalidate = d.MustRevalidate || d.ProxyRevalidate || d.HasSMaxAge && !r.Override.Has(OverrideMustRevalidate)
	// The stale windows of a route are for answers that the route's ttl, or the origin, declares to be for all clients.
	// If all fields are forwarded, an answer without either may be personal, and must not go to others only because the
	// origin fails.
	forAll := explicit || r.TTL > 0 || r.ForwardHeaders != ForwardAll
	if f.Status < 400 && forAll {
		setWindows(&l, d, r.StaleWhileRevalidate, r.StaleIfError)
	} else {
		setWindows(&l, d, 0, 0) // no windows of the route: a stale error or "not found" helps nobody
	}
	validator := f.Status == http.StatusOK && httpcache.HasValidator(f.Header)
	l.Keep = l.WorthKeeping(validator)
	// A copy that can be neither served, now or when the origin fails, nor confirmed, would only take up memory.
	if !validator && l.State(f.Received) <= httpcache.NeedsValidation {
		if l.Fresh > arrival.InitialAge { // only its Date makes the response stale
			return httpcache.Lifetime{}, clockBehind
		}
		return httpcache.Lifetime{}, noFreshness
	}
	return l, NoReason
}

// explicitFreshness is the lifetime that the origin states, without statements that the route overrides.
func (o Override) explicitFreshness(h http.Header, date time.Time, d httpcache.Directives) (time.Duration, bool) {
	fresh, explicit := d.ExplicitFreshness(h, date)
	if explicit && !d.HasSMaxAge && !d.HasMaxAge && o.Has(OverrideExpires) {
		return 0, false
	}
	return fresh, explicit
}

// setWindows sets how long the copy may be served stale: the route's values, unless the origin states others.
func setWindows(l *httpcache.Lifetime, d httpcache.Directives, whileRevalidate, ifError time.Duration) {
	if l.MustRevalidate || l.NoCache {
		return
	}
	l.StaleWhileRevalidate, l.StaleIfError = whileRevalidate, ifError
	if d.HasStaleWhileRevalidate {
		l.StaleWhileRevalidate = d.StaleWhileRevalidate
	}
	if d.HasStaleIfError {
		l.StaleIfError = d.StaleIfError
	}
}

// jittered reduces a lifetime by a share, so that copies that were stored together do not expire together.
func jittered(d time.Duration, share float64) time.Duration {
	return d - time.Duration(float64(d)*min(max(share, 0), 1)).Truncate(time.Millisecond) // stores keep whole ms
}
