package admin

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// caller is who makes a call that was admitted.
type caller struct {
	name   string // the token's, or the peer's address where there are no tokens
	allow  Scope
	bounds *bounds // nil: not bound
}

// bounds are what a token may purge at most.
type bounds struct {
	sites   []string // hosts, as members name them
	tags    []string // how the tags begin that it may name; none: no tags
	anyTags bool
}

func newBounds(t Token) *bounds {
	if len(t.Sites) == 0 && len(t.Tags) == 0 && !t.AnyTags && t.Secret != "" {
		return nil
	}
	b := &bounds{tags: slices.DeleteFunc(slices.Clone(t.Tags), func(prefix string) bool { return prefix == "" }), anyTags: t.AnyTags}
	for _, site := range t.Sites {
		if host := siteOf(site); host != "" {
			b.sites = append(b.sites, host)
		}
	}
	return b
}

// sharedHost stands in members for the host of copies that all hosts share. Beside it an order names purgedHost: the copies of each API that is
// sent a Host of its own, whichever host its clients name.
var sharedHost, purgedHost = policy.PrefixMembers("host", "/")[1].Value(), policy.PrefixMembers("host", "/")[2].Value()

// withoutOthers takes off what an order names beside a site: copies that bear the hosts of their clients are found by these, and those
// of other sites are none of a caller's who is bound.
func withoutOthers(members []policy.Member) []policy.Member {
	return slices.DeleteFunc(members, func(m policy.Member) bool {
		host, _, _ := strings.Cut(m.Value(), "/")
		return host == purgedHost && (m.Kind() == policy.KindURL || m.Kind() == policy.KindPath || m.Kind() == policy.KindPrefix)
	})
}

// siteOf is a host as members name it.
func siteOf(host string) string { return policy.PrefixMembers(host, "/")[0].Value() }

// covers reports whether a Host field names one of the sites.
func (b *bounds) covers(host string) bool {
	site := siteOf(host)
	return site != "" && slices.Contains(b.sites, site)
}

// perSite is what a target stands for to a caller with these bounds: without a host, it is that of each of its sites.
func (b *bounds) perSite(t httpcache.Target) []httpcache.Target {
	if b == nil || t.Host != "" {
		return []httpcache.Target{t}
	}
	var targets []httpcache.Target
	for _, site := range b.sites {
		t.Host = site
		targets = append(targets, t)
	}
	return targets
}

// permit refuses members that the caller may not purge. It decides by what members can make unusable, and by default refuses: a tag
// has no host, and neither have keys, routes and groups, so of these only tags that begin as the token says are for one that is
// bound.
func (c caller) permit(members []policy.Member) error {
	for _, m := range members {
		if isEverything(m) && c.allow&ScopePurgeAll == 0 {
			return refusalf(http.StatusForbidden, refusedScope, "token %q allows %q, and everything of a host or of all hosts needs \"purge-all\"", c.name, c.allow)
		}
		if c.bounds != nil && !c.bounds.hold(m) {
			return refusalf(http.StatusForbidden, refusedBounds, "token %q is not for %s: it may purge URLs and prefixes of its sites (%s), and tags that begin with %s",
				c.name, shorten(m.String()), strings.Join(c.bounds.sites, ", "), c.bounds.tagsInWords())
		}
	}
	return nil
}

// isEverything reports whether a member is of all copies, or of all copies of a host.
func isEverything(m policy.Member) bool {
	return m == policy.All || m.Kind() == policy.KindPrefix && !strings.Contains(m.Value(), "/")
}

// hold reports whether a member is within the bounds. The copies that all hosts share ("*") are those of the sites too: where one
// URL or prefix of a site is named, they are named with it.
func (b *bounds) hold(m policy.Member) bool {
	switch m.Kind() {
	case policy.KindTag:
		return b.anyTags || slices.ContainsFunc(b.tags, func(prefix string) bool { return strings.HasPrefix(m.Value(), prefix) })
	case policy.KindURL, policy.KindPath, policy.KindPrefix:
		host, _, _ := strings.Cut(m.Value(), "/")
		return slices.Contains(b.sites, host) || host == sharedHost && len(b.sites) > 0
	}
	return false
}

func (b *bounds) tagsInWords() string {
	switch {
	case b.anyTags:
		return "anything"
	case len(b.tags) == 0:
		return "nothing, since it has no tags"
	}
	return strings.Join(b.tags, ", ")
}
