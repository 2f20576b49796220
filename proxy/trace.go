package proxy

import (
	"cacheproxy/observe"
	"cacheproxy/policy"
)

// traceLookup tells the trace what the look-up found.
func (ex *exchange) traceLookup(c candidate) {
	found := [...]string{policy.Dead: "miss", policy.NeedsValidation: "validate", policy.StaleOnError: "stale-on-error", policy.StaleServable: "stale", policy.Fresh: "hit"}[c.use]
	ex.span.Lookup(observe.LookupTrace{
		Began: ex.start, Route: ex.route.Name, Found: found, Reason: c.reason, Key: ex.name(),
	})
}

// endTrace ends the request's span with what became of the request.
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
		Status: ex.w.code, Aborted: ex.aborted(), Route: ex.route.Name, Outcome: ex.status.Outcome, Reason: ex.status.Reason,
		Key: ex.name(), RequestID: ex.requestID,
	})
}
