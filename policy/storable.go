package policy

import (
	"net/http"
	"strings"
	"time"
)

// Fetch is an exchange with an origin whose response header has arrived, as far as it decides on caching.
type Fetch struct {
	Method     string
	Authorized bool        // the request, as forwarded, carried Authorization
	Requested  time.Time   // when the request was sent
	Received   time.Time   // when the response header was there
	Status     int         // a final status; a copy confirmed by a 304 is judged with the copy's own status
	Header     http.Header // the origin's, or MergeNotModified of a copy; not changed
	BodyLength int64       // -1: not known yet; ask Route.JudgeLength when it is
	MaxObject  int64       // bytes that a copy may have; zero: any number
	Jitter     float64     // drawn from [0,1) for this fetch; see Route.Jitter
	Through    bool        // the origin saw the client's own request, not a fill's
	Accepting  []string    // Accept-Encoding as the origin saw it; nil: absent, or not known
	Forwarded  http.Header // what FillHeader made of the request, which tells the variant; nil: not known
}

// Verdict says what may become of a response. The zero value is a response for the one who asked and nobody else.
type Verdict struct {
	// Share allows other requests that already wait for this answer to be answered with it. That holds for what is
	// stored and fresh, which would answer them a moment later anyway (RFC 9111 §4); and for errors of the server (5xx)
	// that nothing marks as personal: sending each of the waiting to an origin that fails would not help it.
	Share bool

	Store    bool     // the response may be stored
	Reason   Reason   // why not; NoReason when Store is set
	Lifetime Lifetime // when it was made and came, whatever becomes of it; of a response that is not stored, Dead at any time
	Vary     []string // canonical names of the request fields that select this variant, sorted; empty unless Share or Store is set
}

// Judge decides whether a response may be stored and shared, and for how long it is fresh (RFC 9111 §3 and §4.2).
func (r *Route) Judge(f Fetch) Verdict {
	v := r.judge(f)
	if !v.Store {
		v.Lifetime = arrival(f)
	}
	return v
}

func (r *Route) judge(f Fetch) Verdict {
	if r.Compression != Identity && !f.Through && Coded(f.Header) {
		return Verdict{Reason: CodingUnasked} // who else accepts it is not known
	}
	if unaccepted(f.Accepting, f.Header) {
		return Verdict{Reason: CodingUnasked} // who asks the same does not accept it either
	}
	d := r.directives(f.Header)
	v := Verdict{Share: mayShareError(f, d)}
	names, star := ParseVary(f.Header["Vary"])
	names = r.selectedBy(names, f)
	if v.Share {
		v.Vary = names // of those who wait, an answer in a coding is for those who accept it
	}
	if v.Reason = r.refuse(f, d); v.Reason != NoReason {
		return v
	}
	if star {
		v.Reason = VaryStar
		return v
	}
	lifetime, reason := r.lifetime(f, d)
	if reason != NoReason {
		v.Reason = reason
		return v
	}
	// What has to be confirmed for each request is not worth the risk that two users' answers have the same validator.
	if f.Authorized && !r.ShareAuthorized && lifetime.State(f.Received) != Fresh {
		v.Reason = AuthorizedShare
		return v
	}
	v.Store, v.Lifetime, v.Vary = true, lifetime, names
	v.Share = v.Share || lifetime.State(f.Received) == Fresh
	return v
}

// JudgeLength says whether the length of a body alone forbids to store it, for when it is known.
func (r *Route) JudgeLength(length, maxObject int64) Reason {
	switch {
	case length < 0:
		return NoReason
	case maxObject > 0 && length > maxObject:
		return TooLarge
	case length < r.StoreIf.MinBytes:
		return TooSmall
	}
	return NoReason
}

// directives are those of the response, without what the route overrides.
func (r *Route) directives(h http.Header) Directives {
	d, targeted := r.targeted(h)
	if !targeted {
		d = ParseDirectives(h["Cache-Control"])
	}
	d.Targeted = targeted
	// Pragma has no meaning in responses (RFC 9111 §5.4), but who sends no-cache there and nothing else means it.
	if !targeted && len(h["Cache-Control"]) == 0 && ParseDirectives(h["Pragma"]).NoCache {
		d.NoCache = true
	}
	o := r.Override
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
func (r *Route) refuse(f Fetch, d Directives) Reason {
	switch {
	case f.Method != http.MethodGet:
		return MethodOther
	// With other statuses Content-Range has no meaning (RFC 9110 §14.4): the content is all there is.
	case f.Status == http.StatusPartialContent:
		return Partial
	case !finalStatus(f.Status) || aboutClient[f.Status] || d.MustUnderstand && !understood[f.Status]:
		return StatusNotStored
	case d.Malformed:
		return CacheControlMalformed
	case contradictory(f.Header["Content-Length"]):
		return MalformedHeader
	// must-understand makes no-store void for those who understand the status (§5.2.2.3).
	case d.NoStore && !d.MustUnderstand:
		return NoStore
	case d.Private:
		return Private
	case f.Authorized && !r.ShareAuthorized && !maySharePerAuthorization(d):
		return AuthorizedShare
	case setsCookie(f.Header) && !r.StripSetCookie && !r.Override.Has(OverrideSetCookie):
		return SetCookie
	case !r.StoreIf.allows(f.Header["Content-Type"]):
		return ContentTypeOther
	}
	return r.JudgeLength(f.BodyLength, f.MaxObject)
}

// maySharePerAuthorization reports whether the origin allows to share the answer to a request with credentials (§3.5).
func maySharePerAuthorization(d Directives) bool {
	return d.Public || d.HasSMaxAge && d.sharesBySMaxAge || d.MustRevalidate && d.sharesByMustRevalidate
}

// mayShareError reports whether the response is an error that those who already wait may have. Nothing is relaxed for
// it but what the route overrides.
func mayShareError(f Fetch, d Directives) bool {
	_, star := ParseVary(f.Header["Vary"])
	return f.Status >= 500 && finalStatus(f.Status) && !aboutClient[f.Status] && !d.Private && !d.NoStore && !d.Malformed && !f.Authorized &&
		!star && !setsCookie(f.Header)
}

// aboutClient are the statuses that must not be stored, since they are about who asks and how (RFC 6585 §3 to §6).
var aboutClient = map[int]bool{428: true, 429: true, 431: true, 511: true}

// finalStatus reports whether s ends the exchange and can stand for a whole response. 304 confirms another response.
func finalStatus(s int) bool { return s >= 200 && s <= 599 && s != http.StatusNotModified }

// contradictory reports whether the lines of a field that may have one value only have several.
func contradictory(lines []string) bool {
	for _, line := range lines {
		for value := range strings.SplitSeq(line, ",") {
			if trimOWS(value) != trimOWS(firstElement(lines[0])) {
				return true
			}
		}
	}
	return false
}

// firstElement is the first member of a comma-separated list.
func firstElement(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return first
}

// hasElement reports whether a list over all lines has the token, in any case.
func hasElement(lines []string, token string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(trimOWS(element), token) {
				return true
			}
		}
	}
	return false
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
	mediaType = strings.ToLower(trimOWS(mediaType))
	for _, want := range s.ContentTypes {
		family, any := strings.CutSuffix(want, "*")
		if mediaType == want || any && strings.HasSuffix(family, "/") && strings.HasPrefix(mediaType, family) {
			return true
		}
	}
	return false
}

// understood are the statuses of RFC 9110 §15 whose caching needs are met here, for must-understand.
var understood = map[int]bool{
	200: true, 201: true, 202: true, 203: true, 204: true, 205: true,
	300: true, 301: true, 302: true, 303: true, 307: true, 308: true,
	400: true, 401: true, 402: true, 403: true, 404: true, 405: true, 406: true, 408: true, 409: true, 410: true,
	411: true, 413: true, 414: true, 415: true, 417: true, 421: true, 422: true, 426: true,
	500: true, 501: true, 502: true, 503: true, 504: true, 505: true,
}
