package policy

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// cookieRules is what a route says of request cookies.
type cookieRules struct {
	keyed, ignored []string // Route.Cookies and Route.IgnoreCookies
	ignoreAll      bool
	whole          bool // the Cookie field is part of the storage key as it stands
}

// cookies are the rules of a route.
func (r *Route) cookies() cookieRules {
	return cookieRules{keyed: r.Cookies, ignored: r.IgnoreCookies, ignoreAll: r.IgnoreAllCookies, whole: r.fields().declares("Cookie")}
}

// harmless reports whether every cookie of the request is ignored or declared. A declared cookie that is there
// twice is not harmless: the origin may go by the one that the key does not hold.
func (c cookieRules) harmless(h http.Header) bool {
	if c.whole || c.ignoreAll && len(c.keyed) == 0 {
		return true
	}
	var seen uint64 // of c.keyed, by position
	cookies := httpcache.RequestCookies(h)
	for name, _, ok := cookies.Next(); ok; name, _, ok = cookies.Next() {
		i := slices.Index(c.keyed, name)
		switch {
		case i >= 64 || i >= 0 && seen&(1<<i) != 0:
			return false
		case i >= 0:
			seen |= 1 << i
		case !c.ignoreAll && !named(c.ignored, name):
			return false
		}
	}
	return !cookies.Malformed
}

// harmful returns the names of the cookies because of which harmless is false: those neither ignored nor declared, and declared ones that occur twice. If
// the reason is that the field is malformed, it may return none.
func (c cookieRules) harmful(h http.Header) (names []string) {
	var seen []string
	cookies := httpcache.RequestCookies(h)
	for name, _, ok := cookies.Next(); ok; name, _, ok = cookies.Next() {
		declared := slices.Contains(c.keyed, name)
		switch {
		case declared && !slices.Contains(seen, name):
			seen = append(seen, name)
		case declared, !c.ignoreAll && !named(c.ignored, name):
			names = append(names, name)
		}
	}
	return names
}

// declared returns a Cookie field with only the cookies that are part of the storage key (RFC 6265 §4.2.1), in the client's order.
func (c cookieRules) declared(client http.Header) string {
	var b strings.Builder
	cookies := httpcache.RequestCookies(client)
	for name, value, ok := cookies.Next(); ok; name, value, ok = cookies.Next() {
		if !slices.Contains(c.keyed, name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name + "=" + value)
	}
	return b.String()
}
