package policy

import (
	"slices"

	"cacheproxy/policy/httpcache"
)

// selectedBy is the request fields that select among the variants of an answer, given those that its Vary names, sorted. Four
// things make it differ from Vary:
//
// Fills of a route that compresses never tell the origin what the client accepts, so that cannot have selected anything.
// Otherwise a coded answer is never one for all, though many origins forget to say so.
//
// A field that a fill sent only because another answer of the route had named it in Vary is part of the variant, whatever this
// answer says: the origin saw it, and no key has it. Without that, one client's value would be in the answer for all.
//
// Origin is part of the variant where the request had it, unless the answer is one for every Origin.
//
// A field of which the key has what is preferred most is part of the variant where the origin was told more of it, or would have been,
// had the client said more: where Vary is known to name it, and one says "es", its answer is not for who says "es, de;q=0.5". So it is
// where the origin refuses what is preferred: what else the client accepts has had its part in that.
func (r *Route) selectedBy(names []string, f Fetch) []string {
	told := r.Compression == httpcache.Identity || f.Through
	switch {
	case !told:
		names = slices.DeleteFunc(names, func(name string) bool { return name == encodingField })
	case httpcache.Coded(f.Header):
		names = withName(names, encodingField)
	}
	if r.ForwardHeaders == ForwardAll {
		return names
	}
	for name := range f.Forwarded {
		switch {
		case name == originField:
			if r.fields().keysOrigin(f.Forwarded) && !httpcache.AnyOrigin(f.Header) {
				names = withName(names, name)
			}
		case r.fields().prefers(name):
			if !isPreferred(name, f.Forwarded[name]) {
				names = withName(names, name)
			}
		case !slices.Contains(forwardedFields, name) && !r.keyedField(name):
			names = withName(names, name)
		}
	}
	for _, name := range f.Selected {
		if r.fields().prefers(name) {
			names = withName(names, name)
		}
	}
	if refusesPreferred(f.Status) && r.fields().selectsPreferred(names) {
		for _, name := range PreferencesOf(r) {
			names = withName(names, name)
		}
	}
	return names
}

// keyedField reports whether a field that a fill forwards is part of the storage key: declared by the route, put together of
// declared cookies, describing a content, or unlisted and keyed.
func (r *Route) keyedField(name string) bool {
	fields := r.fields()
	return fields.declares(name) || name == "Cookie" || slices.Contains(contentFields, name) || fields.keysUnlisted(name)
}

// withName is a sorted list with a name in it.
func withName(names []string, name string) []string {
	at, found := slices.BinarySearch(names, name)
	if found {
		return names
	}
	return slices.Insert(names, at, name)
}
