package config

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// unkeyable are request fields that say how a message travels or which part of a copy the client wants, not which copy.
var unkeyable = []string{
	"Connection", "Content-Length", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Range", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade",
}

// maxKeyed bounds the headers, and the cookies, in a storage key.
const maxKeyed = 64

// compileQuery compiles which query parameters are keyed. Where the file has only exclude, all other parameters are
// keyed.
func compileQuery(doc *part) policy.Query {
	q := policy.Query{Include: doc.list("include"), Exclude: doc.list("exclude"), Sort: doc.flag("sort"), Unlisted: read[policy.Unlisted](doc, "unlisted")}
	if len(q.Include) == 0 && len(q.Exclude) > 0 && !doc.has("unlisted") {
		q.Unlisted = policy.UnlistedKey
		doc.setInForce("unlisted", q.Unlisted)
	}
	for _, list := range []string{"include", "exclude"} {
		seen := map[string]bool{}
		for at, name := range doc.entries(list) {
			if seen[name] {
				doc.problem(at, "%s is there twice; remove one", quote(name))
			}
			seen[name] = true
		}
	}
	for i, excluded := range q.Exclude {
		for _, included := range q.Include {
			if overlap(excluded, included) {
				doc.problem(index("exclude", i), "%s overlaps with %s in include; a parameter is either kept or dropped, remove one", quote(excluded), quote(included))
			}
		}
	}
	if doc.has("") && len(q.Include)+len(q.Exclude) == 0 && !doc.has("unlisted") && !doc.spoiled("unlisted") {
		doc.problem("", "names no parameters; write include:, exclude: or unlisted:, or remove it")
	}
	return q
}

// overlap reports whether a parameter's name can match both of two rules.
func overlap(a, b string) bool {
	prefixA, wideA := strings.CutSuffix(a, "*")
	prefixB, wideB := strings.CutSuffix(b, "*")
	switch {
	case wideA && wideB:
		return strings.HasPrefix(prefixA, prefixB) || strings.HasPrefix(prefixB, prefixA)
	case wideA:
		return strings.HasPrefix(b, prefixA)
	case wideB:
		return strings.HasPrefix(a, prefixB)
	}
	return a == b
}

// keyed reports whether the query rule makes a parameter part of the storage key.
func keyed(q policy.Query, name string) bool {
	lists := func(rules []string) bool {
		return slices.ContainsFunc(rules, func(rule string) bool { return overlap(rule, name) })
	}
	return lists(q.Include) || q.Unlisted == policy.UnlistedKey && !lists(q.Exclude)
}

// saidByProxies are the fields in which a proxy in front describes the URL that its users see. Origins make links from
// these fields. The proxy removes these fields from requests that do not come through a trusted proxy.
var saidByProxies = []string{"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Ssl"}

// compileVariant compiles which request headers and cookies are part of the storage key. trusting: the configuration
// has trusted proxies.
func compileVariant(doc *part, r *policy.Route, trusting bool) {
	r.ForwardHeaders, r.OnUnlisted = read[policy.Forwarding](doc, "forward_headers"), read[policy.Unlisted](doc, "unlisted_headers")
	if r.ForwardHeaders == policy.ForwardAll && doc.has("unlisted_headers") {
		doc.problem("unlisted_headers", "has no effect with forward_headers: all; remove one of them")
	}
	for at, name := range doc.entries("headers") {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case slices.Contains(unkeyable, canonical):
			doc.problem(at, "%s cannot tell copies apart; remove it", canonical)
		case slices.Contains(r.Headers, canonical):
			doc.problem(at, "%s is there twice; remove one", canonical)
		case canonical == "Accept-Encoding" && read[httpcache.Coding](doc, "compression") != httpcache.Identity:
			doc.problem(at, "has no effect with compression: the origin is asked for answers without a coding; remove one of them")
		default:
			if !trusting && httpcache.SaysWay(canonical) {
				doc.warn(at, "%s is taken off, since nobody is believed who says it, and tells no copies apart; name your proxies in trusted_proxies, or remove it", canonical)
			}
			r.Headers = append(r.Headers, canonical)
		}
	}
	if trusting {
		for _, name := range saidByProxies {
			r.Headers = declare(r.Headers, name)
		}
	}
	for _, name := range doc.entries("cookies") {
		r.Cookies = declare(r.Cookies, name)
	}
}

// compileIgnoredHeaders lists the request headers that do not matter, according to the route.
func compileIgnoredHeaders(doc *part, r *policy.Route) (ignored []string) {
	for at, name := range doc.entries("ignore_headers") {
		prefix, family := strings.CutSuffix(name, "*")
		canonical := http.CanonicalHeaderKey(prefix)
		keyed := func(keyed string) bool { return keyed == canonical || family && strings.HasPrefix(keyed, canonical) }
		switch {
		case canonical == "Authorization":
			doc.problem(at, "Authorization says who asks; use share_authorized: true")
		case canonical == "Cookie":
			doc.problem(at, "Cookie says who asks; use ignore_cookies")
		case slices.Contains(unkeyable, canonical):
			doc.problem(at, "%s cannot be ignored: it says how the message travels, or for whom; remove it", canonical)
		case r.Neutral(canonical):
			doc.problem(at, "%s is left out of a shared fetch in any case; remove it", canonical)
		case httpcache.NamesMethod(canonical):
			doc.problem(at, "%s makes its request a write to some frameworks and cannot be ignored; remove it", canonical)
		case slices.ContainsFunc(r.Headers, keyed):
			doc.problem(at, "%s is part of the storage key and cannot be ignored; remove it here, or from headers and key", quote(name))
		default:
			ignored = declare(ignored, canonical+name[len(prefix):])
		}
	}
	doc.setInForce("ignore_headers", ignored)
	return ignored
}

// compileRelaxations compiles the settings that are less strict than RFC 9111. warnOfRelaxations warns about each.
func compileRelaxations(doc *part, r *policy.Route) {
	r.IgnoreHeaders = compileIgnoredHeaders(doc, r)
	ignored := read[listOrAll](doc, "ignore_cookies")
	r.IgnoreAllCookies = ignored.all
	for at, name := range doc.entries("ignore_cookies") {
		if slices.ContainsFunc(r.Cookies, func(keyed string) bool { return overlap(name, keyed) }) {
			doc.problem(at, "%s is part of the storage key and cannot be ignored; remove it here, or from cookies and key", quote(name))
		}
		r.IgnoreCookies = append(r.IgnoreCookies, name)
	}
	slices.Sort(r.IgnoreCookies)
	r.IgnoreCookies = slices.Compact(r.IgnoreCookies)
	doc.setInForce("ignore_cookies", listOrAll{ignored.all, r.IgnoreCookies})
	r.StripSetCookie, r.ShareAuthorized = doc.flag("strip_set_cookie"), doc.flag("share_authorized")
	for _, word := range doc.entries("override") {
		one, _ := pick(word, overrides)
		r.Override |= one
	}
	doc.setInForce("override", overrideNames(r.Override))
	if r.StripSetCookie && r.Override.Has(policy.OverrideSetCookie) {
		doc.problem("strip_set_cookie", "contradicts override: [set-cookie], which keeps the cookies; remove one")
	}
	const lifetime = policy.OverrideMaxAge | policy.OverrideSMaxAge | policy.OverrideExpires
	if r.Override&lifetime != 0 && !doc.has("ttl") && !doc.spoiled("ttl") {
		doc.problem("override", "takes the origin's lifetime away and puts none in its place; write ttl: as well")
	}
}

// warnOfRelaxations warns about every setting of the route that is less safe than the default.
func warnOfRelaxations(doc *part, r *policy.Route) {
	if doc.report.at(doc.path).source != "" { // without a file there is nothing to reconsider
		return
	}
	for _, c := range []struct {
		relaxed   bool
		key, text string
	}{
		{r.Override != 0, "override", "the origin's word on caching is not heeded (" + strings.Join(doc.list("override"), ", ") + "); be sure that no answer of this route is personal"},
		{len(r.IgnoreHeaders) > 0, "ignore_headers", "requests with these headers share copies, and the origin does not see the headers on a fill (" + strings.Join(r.IgnoreHeaders, ", ") + "); be sure that no answer depends on them"},
		{r.OnUnlisted == policy.UnlistedDrop, "unlisted_headers", "requests share copies whatever headers they bring, and the origin does not see them on a fill; be sure that no answer depends on who asks"},
		{r.IgnoreAllCookies || len(r.IgnoreCookies) > 0, "ignore_cookies", "requests with these cookies share copies, and the origin does not see the cookies on a fill; be sure that no answer depends on them"},
		{r.StripSetCookie, "strip_set_cookie", "answers are stored without their Set-Cookie, and no client gets the cookies of those; be sure that none needs them, and that what is left is not personal"},
		{r.ShareAuthorized, "share_authorized", "requests with Authorization share copies; be sure that no answer depends on who asks"},
		{r.ForwardHeaders == policy.ForwardAll, "forward_headers", "the origin sees headers that are not keyed; be sure that Vary names every one that changes the answer"},
		{r.Client == policy.HonorClient, "client_cache_control", "every client can send its requests past the cache; be sure that the upstream's limits hold that load"},
		{r.FailedWrite == policy.FailedKeep, "failed_writes", "a write that the origin answers with 5xx leaves copies as they are, although it may have taken effect; be sure that a failed write changes nothing"},
		{r.FencesWrites && !r.RefusesWrites, "store_down", "writes go through while the store cannot be told, and reads elsewhere may be stale until it can"},
		{r.TTL > longTTL && r.Key.Zero() && len(r.Tags) == 0, "ttl", "copies live for more than 24h and have neither key nor tags of the route to purge them by; add key:, or make sure that responses carry tags"},
	} {
		// A route without copies may write to the copies of other routes, so that failed_writes matters there too.
		if c.relaxed && (r.Caches || c.key == "failed_writes") {
			doc.warn(c.key, "%s", c.text)
		}
	}
}
