package policy

import (
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
)

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

// lifetime works out for how long the response is fresh and may be kept, or why it is not worth storing.
func (r *Route) lifetime(f Fetch, d httpcache.Directives) (httpcache.Lifetime, Reason) {
	arrival, certain := httpcache.Arrival(f.Header, f.Requested, f.Received)
	l := arrival.ApparentAge()
	l.NoCache = d.NoCache

	fresh, explicit := r.explicitFreshness(f.Header, l.Date, d)
	switch ttl := r.routeTTL(f.Status); {
	case explicit && certain:
		l.Fresh = fresh
	case explicit:
		// Nobody knows how old it is (§4.2.1).
	case ttl > 0:
		// The route's lifetime counts from the fetch, less the time spent in caches upstream: an origin whose clock is
		// behind (apparent_age) shall not make its answers stale before they arrive.
		l.InitialAge = arrival.InitialAge
		l.Fresh = jittered(ttl, r.Jitter*f.Jitter)
	case (httpcache.HeuristicStatus(f.Status) || d.Public) && !certain:
	case httpcache.HeuristicStatus(f.Status) || d.Public:
		l.Fresh = httpcache.HeuristicFreshness(f.Header, l.Date)
	default:
		return httpcache.Lifetime{}, statusNotStored
	}
	if l.NoCache {
		l.Fresh = 0
	}
	r.setWindows(&l, f.Status, d)
	validator := f.Status == http.StatusOK && httpcache.HasValidator(f.Header)
	l.Keep = l.WorthKeeping(validator)
	// A copy that can be neither served, now or when the origin fails, nor confirmed, would only take up memory.
	if !validator && l.State(f.Received) <= httpcache.NeedsValidation {
		return httpcache.Lifetime{}, noFreshness
	}
	return l, NoReason
}

// explicitFreshness is the lifetime that the origin states, as far as the route heeds it.
func (r *Route) explicitFreshness(h http.Header, date time.Time, d httpcache.Directives) (time.Duration, bool) {
	fresh, explicit := d.ExplicitFreshness(h, date)
	if explicit && !d.HasSMaxAge && !d.HasMaxAge && r.Override.Has(OverrideExpires) {
		return 0, false
	}
	return fresh, explicit
}

// setWindows sets for how long the copy may be served stale. What the origin says goes before the route. The route's
// windows are for answers that its ttl is for: a stale error or a stale "not found" helps nobody.
func (r *Route) setWindows(l *httpcache.Lifetime, status int, d httpcache.Directives) {
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

// jittered takes a share off a lifetime, so that what was stored together does not expire together.
func jittered(d time.Duration, share float64) time.Duration {
	return d - time.Duration(float64(d)*min(max(share, 0), 1))
}
