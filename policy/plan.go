package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// Action is the way a request takes through the proxy.
type Action uint8

const (
	// PassAction forwards the request as it came. The zero value.
	PassAction Action = iota
	// ReadAction looks for a copy and fills one.
	ReadAction
	// CredentialsAction looks for a copy that may answer a request with credentials, and else fetches an answer for it
	// alone (RFC 9111 §3.5).
	CredentialsAction
	// WriteAction forwards the request and makes unusable what it changes.
	WriteAction
)

// String is the word used in explanations.
func (a Action) String() string { return [...]string{"pass", "read", "pass", "write"}[a] }

// PlanRequest decides the way of a request from everything but its query, which Query decides on. mode is the one in
// force. r is nil where no route matches. Writes invalidate whatever the route or its mode (RFC 9111 §4.4); a method
// that is not known to be safe is a write. selected are the request fields that Vary is known to name on the route.
func PlanRequest(r *Route, mode Mode, req *http.Request, selected []string) (Action, Reason) {
	override, unlisted := r.fields().heeded(req.Header, selected)
	switch {
	case override, !httpcache.Safe(req.Method):
		return WriteAction, MethodUnsafe
	case r == nil:
		return PassAction, NoRoute
	case mode == Off:
		return PassAction, ModeOff
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		return PassAction, methodOther
	case !r.Caches:
		return PassAction, routeBypass
	}
	if req.ContentLength != 0 || len(req.TransferEncoding) > 0 {
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
	case action == CredentialsAction: // which is what keeps it from a copy in most cases
		return PassAction, reason
	}
	return PassAction, HeaderUnlisted
}

// special names what makes a read one that a shared copy must not answer.
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
