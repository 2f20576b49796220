package proxy

import (
	"cacheproxy/observe"
	"cacheproxy/policy/httpcache"
)

// traceLookup tells the trace what the first look-up found.
func (ex *exchange) traceLookup(d *decision) {
	if !ex.span.Recording() || !d.found.looked || ex.attempts > 0 {
		return
	}
	found := [...]string{httpcache.Dead: "miss", httpcache.NeedsValidation: "validate", httpcache.StaleOnError: "stale-on-error", httpcache.StaleServable: "stale", httpcache.Fresh: "hit"}[d.found.use]
	ex.span.Lookup(observe.LookupTrace{
		Began: ex.start, Route: ex.route.Name, Found: found, Reason: d.found.reason, Key: ex.shownName(),
	})
}

// endTrace ends the request's span with the result of the request.
func (ex *exchange) endTrace() {
	if !ex.span.Recording() {
		return // there is nothing to end
	}
	pattern := ""
	if ex.match.Route != nil {
		pattern = ex.match.Pattern().Path()
	}
	ex.span.EndRequest(observe.RequestTrace{
		Request: ex.r, Scheme: ex.target.Scheme, Path: ex.target.Path, Pattern: pattern, Client: addrText(ex.clientAddr()),
		Status: ex.w.code, Aborted: ex.aborted(), Route: ex.route.Name, Outcome: ex.finalOutcome(), Reason: ex.finalReason(),
		Key: ex.shownName(), RequestID: ex.requestID,
	})
}
