package admin

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// caller is the author of an admitted call.
type caller struct {
	name   string // the token's name, or the peer's address where there are no tokens
	allow  Scope
	bounds *bounds // nil: no bounds
}

// bounds limit what a token may purge.
type bounds struct {
	sites   []string // hosts, as members name them
	tags    []string // beginnings of the tags that the token may purge; none: no tags
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

// sharedHost is the host, in members, of copies that all hosts share. purgedHost, also part of an order, is the host
// for the copies of every API that is sent a Host of its own, whichever host its clients name.
var sharedHost, purgedHost = policy.PrefixMembers("host", "/")[1].Value(), policy.PrefixMembers("host", "/")[2].Value()

// withoutOthers drops the members with purgedHost from an order for a caller with bounds. The members of a site already
// find the copies that bear the site's host, and the caller has no right to copies of other sites.
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

// perSite lists the targets that a target stands for. For a caller with bounds, a target without a host stands for that
// target on each of the caller's sites.
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

// permit refuses members that the caller may not purge. The decision rests on the copies that a member can make
// unusable, and the default is to refuse. Tags, keys, routes and groups have no host. Of these a caller with bounds may
// purge only tags with an allowed beginning.
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

// isEverything reports whether a member covers all copies, or all copies of a host.
func isEverything(m policy.Member) bool {
	return m == policy.All || m.Kind() == policy.KindPrefix && !strings.Contains(m.Value(), "/")
}

// hold reports whether a member is within the bounds. The copies that all hosts share ("*") belong to every site: an
// order that names a URL or prefix of a site names the shared copies too.
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
