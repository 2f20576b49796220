package config

import (
	"slices"
	"strings"

	"cacheproxy/policy"
)

// warnOfKeys warns of keys that writes and rows of tables name, and that no copy of any route can have. Tags are left alone: answers
// list those as well. So are keys where no route caches: other instances may have the copies.
func warnOfKeys(doc *part, list []*part, routes []*policy.Route) {
	caches := func(r *policy.Route) bool { return r.Caches }
	if !slices.ContainsFunc(routes, caches) {
		return
	}
	for i, r := range routes {
		if r.Invalidates == nil {
			continue
		}
		section := list[i].Part("invalidates")
		warnOfUnknown(section, routes)
		if section.Part("otherwise").written() {
			warnOfUnknown(section.Part("otherwise"), routes)
		}
	}
	for _, feed := range doc.Part("postgres").sections("feeds") {
		warnOfUnknown(feed, routes)
	}
}

// warnOfUnknown is about the keys of one section. Those of queued writes are no names of copies, but are left alone as well.
func warnOfUnknown(section *part, routes []*policy.Route) {
	for at, text := range section.entries("keys") {
		named, err := policy.ParseTemplate(text)
		if err != nil {
			continue // which is reported
		}
		near, nearest := "", (*policy.Route)(nil)
		found := slices.ContainsFunc(routes, func(r *policy.Route) bool {
			if r.Caches && !r.Key.Zero() && (nearest == nil || distance(text, r.Key.String()) < distance(text, near)) {
				near, nearest = r.Key.String(), r
			}
			return !r.Key.Zero() && named.MayEqual(r.Key) || !r.WriteKey.Zero() && named.MayEqual(r.WriteKey)
		})
		switch {
		case found:
		case nearest == nil:
			section.warn(at, "no route has a key, so that this finds no copy; write key: %s at the route whose copies are meant", text)
		default:
			section.warn(at, "no route has a key like %s, so that this finds no copy; the nearest is %s (route %s)%s", text, near, nearest.Name, partsHint(text, near))
		}
	}
}

// partsHint explains why a value does not stand for several parts of a key, where that may be what is thought.
func partsHint(text, near string) string {
	parts := func(s string) int { return strings.Count(s, ":") + strings.Count(s, "/") }
	if strings.Contains(text+near, "{") && parts(text) != parts(near) {
		return "; a colon or a slash in a value is percent-encoded, so that it begins no other part of a name"
	}
	return ""
}
