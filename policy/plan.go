package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// Action is the way of a request through the proxy.
type Action uint8

const (
	// PassAction forwards the request unchanged. The zero value.
	PassAction Action = iota
	// ReadAction looks for a copy, and fills one where none is usable.
	ReadAction
	// CredentialsAction looks for a copy that may answer a request with credentials, and otherwise fetches an answer
	// for this request alone (RFC 9111 §3.5).
	CredentialsAction
	// WriteAction forwards the request and makes the members unusable that it changes.
	WriteAction
)

// String is the word used in explanations.
func (a Action) String() string { return [...]string{"pass", "read", "pass", "write"}[a] }

// Asked is a request, as PlanRequest sees it.
type Asked struct {
	*http.Request
	Target   httpcache.Target // of the request
	Question bool             // its content is the question of a read with content; see ContentReads
}

// hasContent reports whether the request has content, or may have.
func (a Asked) hasContent() bool { return a.ContentLength != 0 || len(a.TransferEncoding) > 0 }

// hasTrailer reports whether fields came after the content. Announced fields that did not come do not count.
func (a Asked) hasTrailer() bool {
	for _, lines := range a.Trailer {
		if len(lines) > 0 {
			return true
		}
	}
	return false
}

// Writes reports whether a request may change resources of which there are copies. Every path of the proxy uses this
// one answer: with a route and without (nil), for look-ups and passed requests, for answers and explanations.
func (r *Route) Writes(a Asked) bool {
	override, unlisted := r.fields().heeded(a.Header, nil)
	return r.writes(a, override, unlisted) != NoReason
}

// writes is the reason why a request may change something; NoReason: it is safe. In doubt a request counts as a write
// (RFC 9111 §4.4): a write that is taken for a read leaves wrong copies. override and unlisted are the results of
// heeded.
//
// A question is a read because the route or its content says so. That does not cover a parameter or field that the
// route does not declare, which may make the request another one.
func (r *Route) writes(a Asked, override, unlisted bool) Reason {
	switch safe := httpcache.Safe(a.Method); {
	case override, r != nil && r.Content.GraphQL && safe && operates(a):
		return MethodUnsafe
	case safe:
		return NoReason
	case !a.Question:
		return MethodUnsafe
	}
	if _, reason := r.Query.Apply(a.Target.Query); reason != NoReason {
		return reason
	}
	if unlisted && r.OnUnlisted == UnlistedBypass {
		return HeaderUnlisted
	}
	return NoReason
}

// PlanRequest decides the way of a request. The query of a read is left to Query. mode is the mode in force. r is nil
// where no route matches. Writes invalidate on any route in any mode. selected are the request fields that Vary is
// known to name on the route.
func PlanRequest(r *Route, mode Mode, a Asked, selected []string) (Action, Reason) {
	override, unlisted := r.fields().heeded(a.Header, selected)
	if reason := r.writes(a, override, unlisted); reason != NoReason {
		return WriteAction, reason
	}
	req := a.Request
	switch {
	case r == nil:
		return PassAction, NoRoute
	case mode == Off:
		return PassAction, ModeOff
	case !a.Question && req.Method != http.MethodGet && req.Method != http.MethodHead:
		return PassAction, methodOther
	case r.Policy == Leaderboard && mode == Observe:
		return PassAction, Observed
	case !r.Caches:
		return PassAction, routeBypass
	case a.Question:
		return r.planQuestion(a, unlisted)
	case a.hasContent():
		return PassAction, RequestBody
	}
	action, reason := PassAction, r.special(req)
	switch {
	case reason == NoReason:
		action = ReadAction
	case reason == Authorization && mode == On && len(req.Header["Proxy-Authorization"]) == 0 &&
		(len(req.Header["Cookie"]) == 0 || r.cookies().harmless(req.Header)):
		action = CredentialsAction
	}
	switch {
	case action == PassAction || r.OnUnlisted != UnlistedBypass || !unlisted:
		return action, reason
	case action == CredentialsAction: // the credentials keep it from a copy in most cases
		return PassAction, reason
	}
	return PassAction, HeaderUnlisted
}

// planQuestion decides the way of a read with content.
func (r *Route) planQuestion(a Asked, unlisted bool) (Action, Reason) {
	switch reason := r.special(a.Request); {
	case a.hasTrailer(): // no key has the trailer, and no fill sends it
		return PassAction, RequestBody
	case len(a.Header["Range"]) > 0:
		return PassAction, RangeRequest
	case reason != NoReason:
		return PassAction, reason
	case r.OnUnlisted == UnlistedBypass && unlisted:
		return PassAction, HeaderUnlisted
	}
	return ReadAction, NoReason
}

// special is the reason why a shared copy must not answer a read; NoReason: a copy may.
func (r *Route) special(req *http.Request) Reason {
	h := req.Header
	switch {
	case len(h["Upgrade"]) > 0 || httpcache.HasElement(h["Connection"], "upgrade"):
		return upgrade
	case req.Method == http.MethodGet && httpcache.ForeignRange(h):
		return RangeRequest
	case len(h["Proxy-Authorization"]) > 0:
		return Authorization
	case len(h["Authorization"]) > 0 && !r.ShareAuthorized && !r.fields().declares("Authorization"):
		return Authorization
	case len(h["Cookie"]) > 0 && !r.cookies().harmless(h):
		return cookie
	case r.Compression != httpcache.Identity && httpcache.RefusesIdentity(h[encodingField]):
		return codingRefused
	}
	return NoReason
}
