package policy

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// A request field belongs to one of these classes on a route that forwards listed fields only. A fill sends nothing else than
// what is keyed, what is part of the variant, and the trace and the way; so a field of any other class must be known not to
// matter, or its request is not one that a shared answer can serve.
//
//	neutral    says who asks, how, or for which trace; fills leave it out
//	variant    negotiates: forwarded, and part of the variant: Origin always, Accept-Encoding where the API says Vary, others by what is
//	           preferred most, and whole where the API says Vary
//	keyed      Route.Headers: forwarded and part of the storage key
//	ignored    Route.IgnoreHeaders: neutral by the route's word
//	selected   a Vary of this route has named it: forwarded, and part of the variant that is stored
//	unlisted   anything else; see Route.UnlistedHeaders
//
// Where all fields are forwarded, Vary names what matters, but for fields that reroute or reshape, which are keyed.

// originField is where browsers say on whose behalf they ask. APIs answer with other Access-Control-* fields for each, and
// often forget to say Vary (WHATWG Fetch, "CORS protocol and HTTP caches").
const originField = "Origin"

// encodingField is the request field by which codings are selected.
const encodingField = "Accept-Encoding"

// fieldRules is what a route says of request fields. The zero value lists none.
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
	// Who asks, and from where on the web. The three hints are those that browsers send unasked, and say what User-Agent says;
	// others come only where an API has asked for them, and are unlisted.
	add(neutralField, "User-Agent", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Referer", "Date", "Dnt",
		"Sec-Gpc", "Upgrade-Insecure-Requests", "Priority", "Purpose", "Sec-Purpose", "Early-Data", "Alt-Used")
	// By which way the request came. Further X-Forwarded-* of proxies, such as -User and -Client-Cert, say who the user is.
	add(neutralField, "Via", "Cdn-Loop", "Max-Forwards", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Original-Forwarded-For", "X-Scheme",
		"X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Fastly-Client-Ip", "Cf-Connecting-Ip",
		"Cf-Connecting-Ipv6", "Cf-Visitor", "Cf-Ew-Via", "X-Azure-Clientip", "X-Azure-Socketip",
		"X-Azure-Requestchain", "X-Fd-Healthprobe", "Fastly-Ff", "Surrogate-Capability",
		"X-Envoy-External-Address", "X-Envoy-Internal", "X-Envoy-Expected-Rq-Timeout-Ms", "X-Envoy-Attempt-Count", "X-Envoy-Peer-Metadata", "X-Envoy-Peer-Metadata-Id", "X-Envoy-Decorator-Operation")
	// What is answered here: conditions, ranges, and wishes to caches.
	add(neutralField, "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range",
		"Cache-Control", "Pragma")
	// How the message is framed, and a content that is not there, or is keyed where it is.
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

// rerouting are the fields by which gateways and frameworks take a request for one with another target, host, scheme or method, or
// answer it in another form, mostly without a word of it in Vary. What they choose must be told apart where all fields are forwarded.
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

// reroutingFamilies are the beginnings of the names of further such fields: by kind, since each gateway has a name of its own.
var reroutingFamilies = [...]string{
	// the target, the method, the host or the scheme, as something on the way has seen or wants it
	"X-Original-", "X-Rewrite", "X-Rewritten-", "X-Override-", "X-Envoy-Original-", "X-Ms-Original-", "X-Waws-", "X-Matched-", "X-Http-", "Http-", "X-Url", "X-Path-", "X-Script-",
	"X-Destination", "X-Host", "X-Server-", "X-Backend-", "X-Upstream-", "X-Forward", "Forwarded-", "X-Accel-", "X-Sendfile",
	// what frameworks tell themselves
	"X-Middleware-", "X-Invoke-", "X-Now-", "X-Nextjs-", "Next-",
}

// reroutes reports whether a field, by its canonical name with "-" for "_", is of that kind. What belongs to a class by its whole name is
// what that says, and the way has rules of its own.
func reroutes(name string) bool {
	return rerouting[name] || fieldClasses[name] == unlistedField && !httpcache.SaysWay(name) && begins(name, reroutingFamilies[:])
}

// reshapingFamilies are the beginnings of the names of fields by which frameworks ask for a part of a page, or for its data, under the
// URL of the page. Some name them in Vary, and then a route that forwards listed fields shares by them; where all fields are forwarded
// they are told apart whether it is said or not.
var reshapingFamilies = [...]string{
	"Hx-", "Turbo-", "X-Turbo", "X-Pjax", "X-Inertia-", "X-Up-", "X-Unpoly", "X-Livewire", "X-Alpine-", "X-Ajax", "X-Requested-With", "X-Fragment", "X-Partial",
	"X-Astro-", "Astro-", "X-Sveltekit-", "Sveltekit-", "X-Remix-", "X-React-Router-", "X-Nuxt-", "X-Gatsby-", "X-Qwik-", "Datastar-",
}

// begins reports whether a name is of one of these families.
func begins(name string, families []string) bool {
	return slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(name, family) })
}

// Neutral reports whether a request field, by its canonical name, is known to choose no answer, on this route as on any other.
func (*Route) Neutral(name string) bool { return classOf(name) == neutralField }

// UnlistedHeaders are the fields of the request that are in no other class, sorted. selected are the fields that Vary is known
// to name. On a route that forwards all fields none is unlisted: there, Vary names what matters.
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

// BypassedFor is what of a request sends it past the cache for reason why, by names: of header fields, of query parameters, or of cookies.
// All are empty where it is another reason. selected is as for UnlistedHeaders.
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
				name = "…" // for all that is known it is a value
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

// heeded looks through the fields of a request once: whether one of them may make it unsafe, and whether one sends it past the
// cache. selected is as for UnlistedHeaders.
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

// common reports whether a field is one of those that nearly every request has, none of which is unlisted. The compiler's
// switch takes a fraction of a look-up's time, and every request pays for each of its fields.
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

// unlisted reports whether a field, by its canonical name, is in no class that is known, nor declared by the route.
func (f fieldRules) unlisted(name string) bool {
	return classOf(name) == unlistedField && !f.declares(name) && !f.ignores(name)
}

// declares reports whether the request field is part of the storage key.
func (f fieldRules) declares(name string) bool { return slices.Contains(f.keyed, name) }

// ignores reports whether the route says that the field does not matter.
func (f fieldRules) ignores(name string) bool { return named(f.ignored, name) }

// named reports whether a list of names has this one, or with a "*" at its end, the beginning of it. It is the one notation for
// names of fields and of cookies; that of query parameters, which may be escaped, is listed.
func named(list []string, name string) bool {
	for _, entry := range list {
		prefix, family := strings.CutSuffix(entry, "*")
		if name == entry || family && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// keyedUnlisted are the fields of a request, sorted, that are part of the storage key although the route does not declare them.
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

// keysUnlisted reports whether a field is part of the storage key although the route does not declare it: an unlisted one where the
// route says so, and one that reroutes or reshapes where all are forwarded, which Vary would have to name and does not.
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

// WithoutOrigin is the header of the same request from no web page; not ok where Origin is not what tells the two apart.
// What an answer to that says to AnyOrigin is an answer to this request too.
func (r *Route) WithoutOrigin(h http.Header) (_ http.Header, ok bool) {
	if !r.fields().keysOrigin(h) {
		return nil, false
	}
	h = h.Clone()
	delete(h, originField)
	return h, true
}

// DeclaresForwarded reports whether part of the storage key is what proxies say of the way that a request came: of
// clients that are not trusted to say it, it has to be removed before.
func (r *Route) DeclaresForwarded() bool {
	return r.OnUnlisted == UnlistedKey || slices.ContainsFunc(r.Headers, httpcache.SaysWay)
}
