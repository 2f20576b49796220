package config

import (
	"slices"
	"strings"

	"cacheproxy/policy"
)

// warnOfKeys warns of keys that writes or rows of tables name and that no copy of any route can have. Tags are not
// checked, because answers list tags as well. Keys are not checked where no route caches, because other instances may
// have the copies.
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

// warnOfUnknown checks the keys of one section. Keys of queued writes name no copies, but are accepted as well.
func warnOfUnknown(section *part, routes []*policy.Route) {
	for at, text := range section.entries("keys") {
		named, err := policy.ParseTemplate(text)
		if err != nil {
			continue // the error is reported elsewhere
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

// partsHint explains why a value does not stand for several parts of a key, where the user may think so.
func partsHint(text, near string) string {
	parts := func(s string) int { return strings.Count(s, ":") + strings.Count(s, "/") }
	if strings.Contains(text+near, "{") && parts(text) != parts(near) {
		return "; a colon or a slash in a value is percent-encoded, so that it begins no other part of a name"
	}
	return ""
}
