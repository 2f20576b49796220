package policy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// A front proxy uses fields of its own to say who a client is, and which way the request came. A client that could
// remove such a field (by naming it in Connection) or repeat it (in another spelling, or in a trailer that a server
// merges with the header) would pass for another client. So every path of a request uses one rule for names: dashed,
// which replaces "_" by "-".

// protectedFamilies are the beginnings of names of fields in which fronts, balancers and CDNs say who sends the request
// and from where.
var protectedFamilies = [...]string{
	"X-Forwarded", "X-Original-", "X-Real-", "X-Client-", "X-Remote-", "X-User", "X-Auth", "X-Webauth-", "X-Ssl", "X-Tls", "X-Mtls", "X-Cert",
	"X-Origin-", "X-Edge-", "X-Proxy-", "X-Cdn-", "X-Amz", "X-Azure-", "X-Ms-", "X-Arr-", "X-Fd-", "X-Goog-", "X-Appengine-", "X-Envoy-",
	"X-Istio-", "X-Gateway-", "X-Consumer-", "X-Credential-", "X-Vercel-", "X-Nf-", "X-Akamai-", "X-Cluster-", "X-Middleware-", "X-Trace", "X-B3-",
	"Client-", "Remote-", "True-Client-", "Ssl-", "Tls-", "Cf-", "Fastly-", "Fly-", "Akamai-", "Incap-", "Front-", "Surrogate-", "Sec-", "Oidc",
}

// protected reports whether a request field, by any spelling of its name, is for every recipient. Such are fields that
// have a class, that tell who sends the request (whoWords), that fronts set, and by which this or any other cache
// decides.
func protected(name string) bool {
	name = dashed(name)
	switch {
	case httpcache.IsHopByHop(name):
		return false
	case classOf(name) != unlistedField, isWithheld(name), httpcache.IsEndToEnd(name), httpcache.NamesMethod(name):
		return true
	}
	lower := strings.ToLower(name)
	return begins(name, protectedFamilies[:]) ||
		slices.ContainsFunc(whoWords[:], func(word string) bool { return strings.Contains(lower, word) })
}

// Misnamed is a field that the Connection of a request names although every recipient needs the field, or although it
// is part of the storage key of this route (nil: no route). why is the reason why the request is malformed: a sender
// must not name such a field, and a recipient must remove every named field (RFC 9110 §7.6.1), so ignoring the name is
// no way out. Empty: Connection names no such field.
func (r *Route) Misnamed(h http.Header) (name string, why Reason) {
	for option := range httpcache.Elements(h["Connection"]) {
		if aboutConnection(option) {
			continue
		}
		if option = textproto.CanonicalMIMEHeaderKey(option); option != "" && (protected(option) || r.fields().declares(option)) {
			return option, malformedHeader
		}
	}
	return "", NoReason
}

// StripTrailer removes from the trailer of a request the fields that say who sends it, route or frame the message, or
// say how long it holds (RFC 9110 §6.5.1): a server that merges the trailer with the header would trust them. Metadata
// of gRPC and checksums stay.
func (r *Route) StripTrailer(trailer http.Header) {
	httpcache.StripTrailer(trailer)
	for name := range trailer {
		dashed := dashed(name)
		if classOf(dashed) != unlistedField || isWithheld(dashed) || httpcache.NamesMethod(dashed) || r.fields().declares(dashed) ||
			begins(dashed, protectedFamilies[:]) && !checksum(dashed) {
			delete(trailer, name)
		}
	}
}

// checksum reports whether a field describes the content and is known only at its end, such as X-Amz-Checksum-Crc32 and
// X-Goog-Hash. Trailers exist for such fields.
func checksum(name string) bool {
	return strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Trailer-") || name == "X-Goog-Hash"
}

// dashed is the canonical name of a field with "-" for "_": servers that hand requests on by the rules of CGI (RFC 3875
// §4.1.18) make the same variable of both names.
func dashed(name string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// traced are protected fields that the answer to a TRACE repeats all the same: the way of the request, and fields of
// every client.
var traced = map[string]bool{
	"Via": true, "Cdn-Loop": true, "Max-Forwards": true, "User-Agent": true, "Accept": true, "Accept-Charset": true, encodingField: true,
	"Accept-Language": true, "Cache-Control": true, "Pragma": true, "Traceparent": true,
}

// TraceHeader is the part of a request's header that the answer to a TRACE repeats (RFC 9110 §9.3.8). It leaves out
// fields that a script must not see and could not read otherwise, and fields in which fronts say who sends the request,
// or authenticate themselves.
func TraceHeader(h http.Header) http.Header {
	h = h.Clone()
	for name := range h {
		if !traced[name] && (protected(name) || httpcache.IsHopByHop(name)) {
			delete(h, name)
		}
	}
	return h
}
