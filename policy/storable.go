package policy

import (
	"net/http"
	"strings"
	"time"

	"cacheproxy/policy/httpcache"
)

// Fetch is an exchange with an origin whose response header has arrived, as far as it decides on caching.
type Fetch struct {
	Method     string
	Authorized bool        // the request, as forwarded, carried Authorization
	Requested  time.Time   // when the request was sent
	Received   time.Time   // when the response header was there
	Status     int         // a final status; a copy confirmed by a 304 is judged with the copy's own status
	Header     http.Header // the origin's, or MergeNotModified of a copy; not changed
	BodyLength int64       // -1: not known yet; see StoreIf
	MaxObject  int64       // bytes that a copy may have; zero: any number
	Jitter     float64     // drawn from [0,1) for this fetch; see Route.Jitter
	Through    bool        // the origin saw the client's own request, not a fill's
	Accepting  []string    // Accept-Encoding as the origin saw it; nil: absent, or not known
	Forwarded  http.Header // what FillHeader made of the request, which tells the variant; nil: not known
	Selected   []string    // the fields that Vary was known to name when FillHeader made it
}

// Verdict says what may become of a response. The zero value is a response for the one who asked and nobody else.
type Verdict struct {
	// Share allows requests that already wait for this answer to get it. It is set for answers that are stored and fresh, which would answer them a
	// moment later anyway (RFC 9111 §4), and for server errors (5xx) that nothing marks as personal: sending every waiting request to a failing
	// origin would not help.
	Share bool

	Store    bool               // the response may be stored
	Reason   Reason             // why not; NoReason when Store is set
	Lifetime httpcache.Lifetime // when it was made and came, whatever becomes of it; of a response that is not stored, Dead at any time
	Vary     []string           // canonical names of the request fields that select this variant, sorted; empty unless Share or Store is set
}

// Judge decides whether a response may be stored and shared, and for how long it is fresh (RFC 9111 §3 and §4.2).
func (r *Route) Judge(f Fetch) Verdict {
	v := r.judge(f)
	if !v.Store {
		v.Lifetime = httpcache.Arrival(f.Header, f.Requested, f.Received)
	}
	return v
}

func (r *Route) judge(f Fetch) Verdict {
	if httpcache.Streams(f.Header) {
		return Verdict{Reason: stream}
	}
	if r.Compression != httpcache.Identity && !f.Through && httpcache.Coded(f.Header) {
		return Verdict{Reason: codingUnasked} // the fill asked for identity: which other clients accept the coding is not known
	}
	if httpcache.Unaccepted(f.Accepting, f.Header) {
		return Verdict{Reason: codingUnasked} // requests of the same variant do not accept the coding either
	}
	d := directivesOf(r, f.Header)
	v := Verdict{Share: mayShareError(f, d)}
	names, star := httpcache.ParseVary(f.Header["Vary"])
	names = r.selectedBy(names, f)
	if v.Share {
		v.Vary = names // a shared error in a coding is only for the waiting requests that accept the coding
	}
	if v.Reason = r.refuse(f, d); v.Reason != NoReason {
		return v
	}
	if star {
		v.Reason = varyStar
		return v
	}
	if refusesPreferred(f.Status) && !r.fields().selectsPreferred(names) {
		v.Reason = statusNotStored // who prefers the same most may accept something else
		return v
	}
	lifetime, reason := r.lifetime(f, d)
	if reason != NoReason {
		v.Reason = reason
		return v
	}
	// What has to be confirmed for each request is not worth the risk that two users' answers have the same validator.
	if f.Authorized && !r.ShareAuthorized && lifetime.State(f.Received) != httpcache.Fresh {
		v.Reason = authorizedShare
		return v
	}
	v.Store, v.Lifetime, v.Vary = true, lifetime, names
	v.Share = v.Share || lifetime.State(f.Received) == httpcache.Fresh
	return v
}

// judgeLength says whether the length of a body alone forbids to store it, for when it is known.
func (s StoreIf) judgeLength(length, maxObject int64) Reason {
	switch {
	case length < 0:
		return NoReason
	case maxObject > 0 && length > maxObject:
		return TooLarge
	case length < s.MinBytes:
		return TooSmall
	}
	return NoReason
}

// directivesOf are those of the response, without what the route overrides.
func directivesOf(r *Route, h http.Header) httpcache.Directives {
	o := r.Override
	d, targeted := httpcache.ParseTargeted(r.Targets, h, !o.Has(OverrideMalformed))
	if !targeted {
		d = httpcache.ParseDirectives(h["Cache-Control"])
	}
	// Pragma has no meaning in responses (RFC 9111 §5.4), and does not go before the route's ttl. Who sends no-cache there and nothing else
	// means it, so that nothing is guessed.
	if r.TTL == 0 && !targeted && len(h["Cache-Control"]) == 0 && httpcache.ParseDirectives(h["Pragma"]).NoCache {
		d.NoCache = true
	}
	d.Malformed = d.Malformed && !o.Has(OverrideMalformed)
	d.HasMaxAge = d.HasMaxAge && !o.Has(OverrideMaxAge)
	d.HasSMaxAge = d.HasSMaxAge && !o.Has(OverrideSMaxAge)
	d.NoCache = d.NoCache && !o.Has(OverrideNoCache)
	d.NoStore = d.NoStore && !o.Has(OverrideNoStore)
	d.Private = d.Private && !o.Has(OverridePrivate)
	d.MustRevalidate = d.MustRevalidate && !o.Has(OverrideMustRevalidate)
	d.ProxyRevalidate = d.ProxyRevalidate && !o.Has(OverrideMustRevalidate)
	return d
}

// refuse names what forbids to store the response, all but its lifetime and Vary (RFC 9111 §3).
func (r *Route) refuse(f Fetch, d httpcache.Directives) Reason {
	switch {
	case f.Method != http.MethodGet:
		return methodOther
	// With other statuses Content-Range has no meaning (RFC 9110 §14.4): the content is all there is.
	case f.Status == http.StatusPartialContent:
		return Partial
	case !httpcache.ForEveryone(f.Status) || d.MustUnderstand && !httpcache.Understood(f.Status):
		return statusNotStored
	case d.Malformed:
		return cacheControlMalformed
	case httpcache.Contradictory(f.Header["Content-Length"]):
		return malformedHeader
	// must-understand makes no-store void for those who understand the status (§5.2.2.3).
	case d.NoStore && !d.MustUnderstand:
		return noStore
	case d.Private:
		return private
	case f.Authorized && !r.ShareAuthorized && !d.SharesAuthorized():
		return authorizedShare
	case httpcache.SetsCookie(f.Header) && !r.StripSetCookie && !r.Override.Has(OverrideSetCookie):
		return setCookie
	case !r.StoreIf.allows(f.Header["Content-Type"]):
		return contentTypeOther
	}
	return r.StoreIf.judgeLength(f.BodyLength, f.MaxObject)
}

// mayShareError reports whether the response is an error that those who already wait may have. Nothing is relaxed for
// it but what the route overrides.
func mayShareError(f Fetch, d httpcache.Directives) bool {
	_, star := httpcache.ParseVary(f.Header["Vary"])
	return f.Status >= 500 && httpcache.ForEveryone(f.Status) && !d.Private && !d.NoStore && !d.Malformed && !f.Authorized &&
		!star && !httpcache.SetsCookie(f.Header)
}

// allows reports whether the route stores this type. A response that names none, or several, fits no list.
func (s StoreIf) allows(contentType []string) bool {
	if len(s.ContentTypes) == 0 {
		return true
	}
	if len(contentType) != 1 {
		return false
	}
	mediaType, _, _ := strings.Cut(contentType[0], ";")
	mediaType = strings.ToLower(httpcache.TrimOWS(mediaType))
	for _, want := range s.ContentTypes {
		family, any := strings.CutSuffix(want, "*")
		if mediaType == want || any && strings.HasSuffix(family, "/") && strings.HasPrefix(mediaType, family) {
			return true
		}
	}
	return false
}
