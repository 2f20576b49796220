package policy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// A front proxy says in fields of its own who a client is, and which way the request came. A client that could take such a field off
// (by naming it in Connection) or say it once more (in another spelling, or in a trailer that a server merges with the header) would
// be another client. So the names have one rule, whatever the path of a request: dashed, by which "_" is "-".

// protectedFamilies are the beginnings of the names by which fronts, balancers and CDNs say who asks and from where.
var protectedFamilies = [...]string{
	"X-Forwarded", "X-Original-", "X-Real-", "X-Client-", "X-Remote-", "X-User", "X-Auth", "X-Webauth-", "X-Ssl", "X-Tls", "X-Mtls", "X-Cert",
	"X-Origin-", "X-Edge-", "X-Proxy-", "X-Cdn-", "X-Amz", "X-Azure-", "X-Ms-", "X-Arr-", "X-Fd-", "X-Goog-", "X-Appengine-", "X-Envoy-",
	"X-Istio-", "X-Gateway-", "X-Consumer-", "X-Credential-", "X-Vercel-", "X-Nf-", "X-Akamai-", "X-Cluster-", "X-Middleware-", "X-Trace", "X-B3-",
	"Client-", "Remote-", "True-Client-", "Ssl-", "Tls-", "Cf-", "Fastly-", "Fly-", "Akamai-", "Incap-", "Front-", "Surrogate-", "Sec-", "Oidc",
}

// protected reports whether a request field, by any spelling of its name, is meant for every recipient: what has a class, who asks
// (whoWords), what fronts say, what this cache and any other decides by.
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

// Misnamed is a field that the Connection of a request names although it is meant for every recipient, or is part of the storage
// key of this route (nil: no route), and why the request is malformed then: a sender must not name it, and a recipient that did not
// remove what is named would break the rule for all others (RFC 9110 §7.6.1). Empty: there is none.
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

// StripTrailer removes from the trailer of a request what says who asks, whither, how long or how the message is framed
// (RFC 9110 §6.5.1): a server that merges it with the header would believe it. Metadata of gRPC and checksums stay.
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

// checksum reports whether a field says something of the content that is known only when all of it was sent, such as
// X-Amz-Checksum-Crc32 and X-Goog-Hash: what trailers are for.
func checksum(name string) bool {
	return strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Trailer-") || name == "X-Goog-Hash"
}

// dashed is the canonical name of a field with "-" for "_": servers that hand requests on by the rules of CGI (RFC 3875 §4.1.18)
// make the same variable of both.
func dashed(name string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// traced are protected fields that the answer to a TRACE repeats all the same: which way it came, and what every client says.
var traced = map[string]bool{
	"Via": true, "Cdn-Loop": true, "Max-Forwards": true, "User-Agent": true, "Accept": true, "Accept-Charset": true, encodingField: true,
	"Accept-Language": true, "Cache-Control": true, "Pragma": true, "Traceparent": true,
}

// TraceHeader is what of a request's header is sent back in the answer to a TRACE (RFC 9110 §9.3.8): nothing that a script should
// not see, which could not read it otherwise, nor what fronts have added to say who asks, or that it was them.
func TraceHeader(h http.Header) http.Header {
	h = h.Clone()
	for name := range h {
		if !traced[name] && (protected(name) || httpcache.IsHopByHop(name)) {
			delete(h, name)
		}
	}
	return h
}
