package config

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// token is a name as header fields and cookies have it (RFC 9110 §5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// unkeyable are request fields that say how a message travels or which part of a copy is wanted, not which copy.
var unkeyable = []string{
	"Connection", "Content-Length", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Range", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade",
}

// maxKeyed is how many headers, and how many cookies, may be part of a storage key.
const maxKeyed = 64

// query compiles which query parameters are keyed. Where only exclude is written, the rest is keyed.
func (c *routeCompiler) query() {
	doc, at := c.doc.section("query"), c.key("query")
	q := policy.Query{Include: doc.list("include"), Exclude: doc.list("exclude"), Sort: doc.flag("sort"), Unlisted: read[policy.Unlisted](doc, "unlisted")}
	wrote := c.has(doc.at("unlisted"))
	if len(q.Include) == 0 && len(q.Exclude) > 0 && !wrote {
		q.Unlisted = policy.UnlistedKey
		doc.setInForce("unlisted", q.Unlisted)
	}
	c.route.Query = q
	c.parameterNames(doc.at("include"), q.Include)
	c.parameterNames(doc.at("exclude"), q.Exclude)
	for i, excluded := range q.Exclude {
		for _, included := range q.Include {
			if overlap(excluded, included) {
				c.problem(index(doc.at("exclude"), i), "%s overlaps with %s in include; a parameter is either kept or dropped, remove one",
					quote(excluded), quote(included))
			}
		}
	}
	if c.wrote("query") && len(q.Include)+len(q.Exclude) == 0 && !wrote && !c.spoiled(doc.at("unlisted")) {
		c.problem(at, "names no parameters; write include:, exclude: or unlisted:, or remove it")
	}
}

func (c *routeCompiler) parameterNames(path string, names []string) {
	for i, name := range names {
		at := index(path, i)
		prefix := strings.TrimSuffix(name, "*")
		switch {
		case c.spoiled(at):
		case prefix == "":
			c.problem(at, "%s stands for every parameter; write unlisted: key, or unlisted: drop", quote(name))
		case strings.Contains(prefix, "*"):
			c.problem(at, "%s has a * that is not at the end; write a name, or the beginning of one such as utm_*", quote(name))
		case slices.Index(names, name) < i:
			c.problem(at, "%s is there twice; remove one", quote(name))
		}
	}
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

// variant compiles the request headers and cookies that are part of the storage key.
func (c *routeCompiler) variant() {
	c.route.ForwardHeaders, c.route.OnUnlisted = read[policy.Forwarding](c.doc, "forward_headers"), read[policy.Unlisted](c.doc, "unlisted_headers")
	if c.route.ForwardHeaders == policy.ForwardAll && c.wrote("unlisted_headers") {
		c.problem(c.key("unlisted_headers"), "has no effect with forward_headers: all; remove one of them")
	}
	for i, name := range c.doc.list("headers") {
		at := index(c.key("headers"), i)
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case c.spoiled(at):
		case !token.MatchString(name) || strings.Contains(name, "*"):
			c.problem(at, "%s is not the name of a header; write one such as X-Tenant", quote(name))
		case slices.Contains(unkeyable, canonical):
			c.problem(at, "%s cannot tell copies apart; remove it", canonical)
		case slices.Contains(c.route.Headers, canonical):
			c.problem(at, "%s is there twice; remove one", canonical)
		case canonical == "Accept-Encoding" && read[httpcache.Coding](c.doc, "compression") != httpcache.Identity:
			c.problem(at, "has no effect with compression: the origin is asked for answers without a coding; remove one of them")
		default:
			c.route.Headers = append(c.route.Headers, canonical)
		}
	}
	if c.trusting {
		// What a proxy in front says of the URL that its users know: answers have links made of it. Requests that come past that
		// proxy are not believed, and have none of these.
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Ssl"} {
			c.route.Headers = declare(c.route.Headers, name)
		}
	}
	for i, name := range c.doc.list("cookies") {
		at := index(c.key("cookies"), i)
		if c.cookieName(at, name) {
			c.route.Cookies = declare(c.route.Cookies, name)
		}
	}
}

func (c *routeCompiler) cookieName(path, name string) bool {
	if c.spoiled(path) {
		return false
	}
	if !token.MatchString(name) {
		c.problem(path, "%s is not the name of a cookie; write one such as region", quote(name))
		return false
	}
	return true
}

// ignoredHeaders compiles the request headers that the route declares not to matter.
func (c *routeCompiler) ignoredHeaders() {
	for i, name := range c.doc.list("ignore_headers") {
		at := index(c.key("ignore_headers"), i)
		prefix, family := strings.CutSuffix(name, "*")
		canonical := http.CanonicalHeaderKey(prefix)
		keyed := func(keyed string) bool { return keyed == canonical || family && strings.HasPrefix(keyed, canonical) }
		switch {
		case c.spoiled(at):
		case !token.MatchString(prefix) || strings.Contains(prefix, "*"):
			c.problem(at, "%s is not the name of a header; write one such as X-Client-Version, the beginning of some such as X-Client-*, or for every one unlisted_headers: drop", quote(name))
		case canonical == "Authorization" || canonical == "Cookie":
			c.problem(at, "%s says who asks; use %s", canonical, map[string]string{"Authorization": "share_authorized: true", "Cookie": "ignore_cookies"}[canonical])
		case slices.Contains(unkeyable, canonical):
			c.problem(at, "%s cannot be ignored: it says how the message travels, or for whom; remove it", canonical)
		case policy.Neutral(canonical):
			c.problem(at, "%s is left out of a shared fetch in any case; remove it", canonical)
		case httpcache.NamesMethod(canonical):
			c.problem(at, "%s makes its request a write to some frameworks and cannot be ignored; remove it", canonical)
		case slices.ContainsFunc(c.route.Headers, keyed):
			c.problem(at, "%s is part of the storage key and cannot be ignored; remove it here, or from headers and key", quote(name))
		case family:
			c.route.IgnoreHeaders = declare(c.route.IgnoreHeaders, canonical+"*")
		default:
			c.route.IgnoreHeaders = declare(c.route.IgnoreHeaders, canonical)
		}
	}
	c.doc.setInForce("ignore_headers", c.route.IgnoreHeaders)
}

// relaxations compiles what a route does less strictly than RFC 9111. Each of them is warned about.
func (c *routeCompiler) relaxations() {
	r := c.route
	c.ignoredHeaders()
	c.ignoredCookies()
	r.StripSetCookie, r.ShareAuthorized = c.doc.flag("strip_set_cookie"), c.doc.flag("share_authorized")
	for i, word := range c.doc.list("override") {
		at := index(c.key("override"), i)
		if c.spoiled(at) {
			continue
		}
		one, err := pick(word, overrides)
		if err != nil {
			c.problem(at, "%s %w", quote(word), err)
		}
		r.Override |= one
	}
	c.doc.setInForce("override", overrideNames(r.Override))
	if r.StripSetCookie && r.Override.Has(policy.OverrideSetCookie) {
		c.problem(c.key("strip_set_cookie"), "contradicts override: [set-cookie], which keeps the cookies; remove one")
	}
	const lifetime = policy.OverrideMaxAge | policy.OverrideSMaxAge | policy.OverrideExpires
	if r.Override&lifetime != 0 && !c.wrote("ttl") && !c.spoiled(c.key("ttl")) {
		c.problem(c.key("override"), "takes the origin's lifetime away and puts none in its place; write ttl: as well")
	}
}

func (c *routeCompiler) ignoredCookies() {
	r, ignored := c.route, read[listOrAll](c.doc, "ignore_cookies")
	r.IgnoreAllCookies = ignored.all
	for i, name := range ignored.names {
		at := index(c.key("ignore_cookies"), i)
		switch {
		case !c.cookieName(at, name):
		case slices.Contains(r.Cookies, name):
			c.problem(at, "%s is part of the storage key and cannot be ignored; remove it here, or from cookies and key", quote(name))
		default:
			r.IgnoreCookies = append(r.IgnoreCookies, name)
		}
	}
	slices.Sort(r.IgnoreCookies)
	r.IgnoreCookies = slices.Compact(r.IgnoreCookies)
	c.doc.setInForce("ignore_cookies", listOrAll{ignored.all, r.IgnoreCookies})
}

// cautions warns about everything in the route that is less safe than the default.
func (c *routeCompiler) cautions() {
	r := c.route
	if !r.Caches || c.at(c.path).source != "" { // without a file there is nothing to reconsider
		return
	}
	c.caution(r.Override != 0, "override", "the origin's word on caching is not heeded ("+strings.Join(c.doc.list("override"), ", ")+"); be sure that no answer of this route is personal")
	c.caution(len(r.IgnoreHeaders) > 0, "ignore_headers", "requests with these headers share copies, and the origin does not see the headers on a fill ("+strings.Join(r.IgnoreHeaders, ", ")+"); be sure that no answer depends on them")
	c.caution(r.OnUnlisted == policy.UnlistedDrop, "unlisted_headers", "requests share copies whatever headers they bring, and the origin does not see them on a fill; be sure that no answer depends on who asks")
	c.caution(r.IgnoreAllCookies || len(r.IgnoreCookies) > 0, "ignore_cookies", "requests with these cookies share copies, and the origin does not see the cookies on a fill; be sure that no answer depends on them")
	c.caution(r.StripSetCookie, "strip_set_cookie", "answers are stored without their Set-Cookie; be sure that what is left is not personal")
	c.caution(r.ShareAuthorized, "share_authorized", "requests with Authorization share copies; be sure that no answer depends on who asks")
	c.caution(r.ForwardHeaders == policy.ForwardAll, "forward_headers", "the origin sees headers that are not keyed; be sure that Vary names every one that changes the answer")
	c.caution(r.Client == policy.HonorClient, "client_cache_control", "every client can send its requests past the cache; be sure that the upstream's limits hold that load")
	c.caution(r.FencesWrites && !r.RefusesWrites, "store_down", "writes go through while the store cannot be told, and reads elsewhere may be stale until it can")
	unnamed := r.Key.String() == "" && len(r.Tags) == 0
	c.caution(r.TTL > longTTL && unnamed, "ttl", "copies live for more than 24h and have neither key nor tags of the route to purge them by; add key:, or make sure that responses carry tags")
}

func (c *routeCompiler) caution(relaxed bool, key, text string) {
	if relaxed {
		c.warn(c.key(key), "%s", text)
	}
}
