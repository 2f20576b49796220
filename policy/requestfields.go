package policy

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// A request field belongs to one of these classes on a route that forwards listed fields only. A fill sends only keyed
// fields, fields of the variant, the trace and the way. So a field of any other class must be known not to matter;
// otherwise a shared answer cannot serve its request.
//
//	neutral    says who asks, how, or for which trace; fills leave it out
//	variant    negotiates: forwarded, and part of the variant: Origin always, Accept-Encoding where the API says Vary,
//	           others by the most preferred element, and whole where the API says Vary
//	keyed      Route.Headers: forwarded and part of the storage key
//	ignored    Route.IgnoreHeaders: neutral because the route says so
//	selected   a Vary of this route has named it: forwarded, and part of the variant that is stored
//	unlisted   any other field; see Route.UnlistedHeaders
//
// If all fields are forwarded, Vary names the fields that matter, except those that reroute or reshape, which are
// keyed.

// originField is the field in which browsers name the web page that sends a request. APIs answer each Origin with other
// Access-Control-* fields, and often forget to name it in Vary (WHATWG Fetch, "CORS protocol and HTTP caches").
const originField = "Origin"

// encodingField is the request field by which codings are selected.
const encodingField = "Accept-Encoding"

// fieldRules are the rules of a route for request fields. The zero value lists none.
type fieldRules struct {
	keyed, ignored []string // Route.Headers and Route.IgnoreHeaders
	forward        Forwarding
	others         Unlisted // Route.OnUnlisted
}

// fields are the rules of a route. Without a route (nil), no field is keyed and every field is forwarded.
func (r *Route) fields() fieldRules {
	if r == nil {
		return fieldRules{forward: ForwardAll}
	}
	return fieldRules{keyed: r.Headers, ignored: r.IgnoreHeaders, forward: r.ForwardHeaders, others: r.OnUnlisted}
}

type fieldClass uint8

const (
	unlistedField    fieldClass = iota // or declared by the route
	neutralField                       // chooses no answer, or has to be named in Vary
	negotiatingField                   // forwarded by every fill, and chooses among variants
	credentialField                    // has rules of its own: cookies.go, credentials.go
)

// fieldClasses are the classes of fields, but for families of names.
var fieldClasses = func() map[string]fieldClass {
	classes := make(map[string]fieldClass)
	add := func(class fieldClass, names ...string) {
		for _, name := range names {
			classes[name] = class
		}
	}
	add(negotiatingField, "Accept", "Accept-Charset", encodingField, "Accept-Language", originField)
	add(credentialField, "Authorization", "Proxy-Authorization", "Cookie")
	// Fields that say who sends the request, and from where on the web. The three hints are those that browsers send unasked, with the
	// content of User-Agent. Other hints come only where an API has asked for them, and are unlisted.
	add(neutralField, "User-Agent", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Referer", "Date", "Dnt",
		"Sec-Gpc", "Upgrade-Insecure-Requests", "Priority", "Purpose", "Sec-Purpose", "Early-Data", "Alt-Used")
	// The way of the request. Other X-Forwarded-* fields of proxies, such as -User and -Client-Cert, say who the user
	// is.
	add(neutralField, "Via", "Cdn-Loop", "Max-Forwards", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Original-Forwarded-For", "X-Scheme",
		"X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Fastly-Client-Ip", "Cf-Connecting-Ip",
		"Cf-Connecting-Ipv6", "Cf-Visitor", "Cf-Ew-Via", "X-Azure-Clientip", "X-Azure-Socketip",
		"X-Azure-Requestchain", "X-Fd-Healthprobe", "Fastly-Ff", "Surrogate-Capability",
		"X-Envoy-External-Address", "X-Envoy-Internal", "X-Envoy-Expected-Rq-Timeout-Ms", "X-Envoy-Attempt-Count", "X-Envoy-Peer-Metadata", "X-Envoy-Peer-Metadata-Id", "X-Envoy-Decorator-Operation")
	// Fields that this proxy evaluates: conditions, ranges, and directives for caches.
	add(neutralField, "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range",
		"Cache-Control", "Pragma")
	// Framing of the message, and the description of content, which the request lacks, or which is keyed.
	add(neutralField, "Host", "Content-Length", "Content-Type", "Content-Encoding", "Content-Language", "Connection",
		"Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect")
	return classes
}()

func classOf(name string) fieldClass {
	class := fieldClasses[name]
	if class == unlistedField && (strings.HasPrefix(name, "Sec-Fetch-") || httpcache.IsTrace(name)) {
		return neutralField
	}
	return class
}

// rerouting are the fields from which gateways and frameworks take another target, host, scheme or method for a
// request, or by which they answer in another form, mostly without naming the field in Vary. If all fields are
// forwarded, keys must tell such requests apart.
var rerouting = func() map[string]bool {
	set := make(map[string]bool)
	for _, name := range []string{
		"X-Request-Uri", "X-Request-Url", "X-Request-Path", "X-Request-Host", "X-Request-Method", "Request-Uri", "Request-Url", "Destination", "Base-Url", "Uri", "Url",
		"X-Method-Override", "X-Scheme", "X-Arr-Ssl", "Front-End-Https", "Script-Name", "Proxy-Host", "Proxy-Url", "X-Proxy-Host", "X-Proxy-Url", "X-Base-Url",
		"X-Inertia", "Rsc", "Surrogate-Capability",
	} {
		set[name] = true
	}
	return set
}()

// reroutingFamilies are the beginnings of names of further such fields. A family is needed because each gateway has a
// name of its own.
var reroutingFamilies = [...]string{
	// the target, the method, the host or the scheme, as a hop has seen or wants it
	"X-Original-", "X-Rewrite", "X-Rewritten-", "X-Override-", "X-Envoy-Original-", "X-Ms-Original-", "X-Waws-", "X-Matched-", "X-Http-", "Http-", "X-Url", "X-Path-", "X-Script-",
	"X-Destination", "X-Host", "X-Server-", "X-Backend-", "X-Upstream-", "X-Forward", "Forwarded-", "X-Accel-", "X-Sendfile",
	// messages of frameworks to themselves
	"X-Middleware-", "X-Invoke-", "X-Now-", "X-Nextjs-", "Next-",
}

// reroutes reports whether a field, by its canonical name with "-" for "_", is a rerouting one. A field whose whole
// name has a class follows that class, and the fields of the way have rules of their own.
func reroutes(name string) bool {
	return rerouting[name] || fieldClasses[name] == unlistedField && !httpcache.SaysWay(name) && begins(name, reroutingFamilies[:])
}

// reshapingFamilies are the beginnings of names of fields by which frameworks ask for a part of a page, or for its
// data, under the URL of the page. Some frameworks name these fields in Vary, and a route that forwards listed fields
// then shares answers by them. If all fields are forwarded, they are keyed whether Vary names them or not.
var reshapingFamilies = [...]string{
	"Hx-", "Turbo-", "X-Turbo", "X-Pjax", "X-Inertia-", "X-Up-", "X-Unpoly", "X-Livewire", "X-Alpine-", "X-Ajax", "X-Requested-With", "X-Fragment", "X-Partial",
	"X-Astro-", "Astro-", "X-Sveltekit-", "Sveltekit-", "X-Remix-", "X-React-Router-", "X-Nuxt-", "X-Gatsby-", "X-Qwik-", "Datastar-",
}

// begins reports whether a name begins with one of the families.
func begins(name string, families []string) bool {
	return slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(name, family) })
}

// Neutral reports whether a request field, by its canonical name, is known to choose no answer on any route.
func (*Route) Neutral(name string) bool { return classOf(name) == neutralField }

// UnlistedHeaders are the fields of the request that have no other class, sorted. selected are the fields that Vary is
// known to name. On a route that forwards all fields none is unlisted: Vary names the fields that matter.
func (r *Route) UnlistedHeaders(h http.Header, selected []string) (names []string) {
	f := r.fields()
	for name := range h {
		if f.passes(name, selected) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// BypassedFor names the parts of a request that send it past the cache for reason why: header fields, query parameters,
// or cookies. All are empty for other reasons. selected is as for UnlistedHeaders.
func (r *Route) BypassedFor(why Reason, a Asked, selected []string) (headers, parameters, cookies []string) {
	switch why {
	case HeaderUnlisted:
		headers = r.UnlistedHeaders(a.Header, selected)
	case queryUnlisted:
		for piece := range strings.SplitSeq(a.Target.Query, "&") {
			name := httpcache.PieceName(piece)
			if r.Query.decide(name) != UnlistedBypass {
				continue
			}
			if !strings.Contains(piece, "=") {
				name = "…" // the whole piece may be a value
			}
			parameters = append(parameters, name)
		}
	case cookie:
		cookies = r.cookies().harmful(a.Header)
	}
	return headers, sortedSet(parameters), sortedSet(cookies)
}

func sortedSet(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// heeded walks over the fields of a request once. override reports whether a field may make the request unsafe,
// unlisted whether a field sends it past the cache. selected is as for UnlistedHeaders.
func (f fieldRules) heeded(h http.Header, selected []string) (override, unlisted bool) {
	for name, lines := range h {
		if common(name) || fieldClasses[name] != unlistedField {
			continue
		}
		override = override || httpcache.NamesUnsafe(name, lines)
		unlisted = unlisted || f.passes(name, selected)
	}
	return override, unlisted
}

// common reports whether nearly every request has the field; no such field is unlisted. The compiler's switch takes a
// fraction of the time of a map look-up, and every request pays for each of its fields.
func common(name string) bool {
	switch name {
	case "Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Connection", "Referer", "Origin", "Cookie", "Authorization",
		"Cache-Control", "Pragma", "If-None-Match", "If-Modified-Since", "Range", "Te", "Dnt", "Priority", "Content-Type",
		"Content-Length", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile",
		"Sec-Ch-Ua-Platform", "Upgrade-Insecure-Requests", "Traceparent", "Tracestate", "X-Request-Id", "X-Forwarded-For",
		"X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip":
		return true
	}
	return false
}

// passes reports whether a field sends its request past the cache.
func (f fieldRules) passes(name string, selected []string) bool {
	return f.forward != ForwardAll && f.unlisted(name) && (!slices.Contains(selected, name) || isWithheld(name))
}

// unlisted reports whether a field, by its canonical name, has no class and is neither declared nor ignored by the
// route.
func (f fieldRules) unlisted(name string) bool {
	return classOf(name) == unlistedField && !f.declares(name) && !f.ignores(name)
}

// declares reports whether the request field is part of the storage key.
func (f fieldRules) declares(name string) bool { return slices.Contains(f.keyed, name) }

// ignores reports whether the route says that the field does not matter.
func (f fieldRules) ignores(name string) bool { return named(f.ignored, name) }

// named reports whether a list has this name, or has its beginning followed by "*". Lists of fields and of cookies use
// this notation. Lists of query parameters, whose names may be escaped, are for the function listed.
func named(list []string, name string) bool {
	for _, entry := range list {
		prefix, family := strings.CutSuffix(entry, "*")
		if name == entry || family && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// keyedUnlisted are the fields of a request, sorted, that are part of the storage key although the route does not
// declare them.
func (f fieldRules) keyedUnlisted(h http.Header) (names []string) {
	if f.others != UnlistedKey && f.forward != ForwardAll {
		return nil
	}
	for name := range h {
		if !common(name) && f.keysUnlisted(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// keysUnlisted reports whether a field is part of the storage key although the route does not declare it. Such are
// unlisted fields where the route says so, and, where all fields are forwarded, those that reroute or reshape, which
// Vary should name and mostly does not.
func (f fieldRules) keysUnlisted(name string) bool {
	if f.forward == ForwardAll {
		return (reroutes(name) || begins(name, reshapingFamilies[:])) && !f.declares(name) && !f.ignores(name)
	}
	return f.others == UnlistedKey && f.unlisted(name)
}

// keysOrigin reports whether requests with an Origin have storage keys of their own.
func (f fieldRules) keysOrigin(h http.Header) bool {
	return len(h[originField]) > 0 && f.forward == ForwardListed && !f.declares(originField) && !f.ignores(originField)
}

// WithoutOrigin is the header of the same request without Origin, as from no web page. ok is false where Origin does
// not make the keys of the two requests differ. An answer to that header for which AnyOrigin reports true also answers
// this request.
func (r *Route) WithoutOrigin(h http.Header) (_ http.Header, ok bool) {
	if !r.fields().keysOrigin(h) {
		return nil, false
	}
	h = h.Clone()
	delete(h, originField)
	return h, true
}

// DeclaresForwarded reports whether the storage key may have fields in which proxies describe the way of a request. The
// caller has to remove such fields of untrusted clients first.
func (r *Route) DeclaresForwarded() bool {
	return r.OnUnlisted == UnlistedKey || slices.ContainsFunc(r.Headers, httpcache.SaysWay)
}
