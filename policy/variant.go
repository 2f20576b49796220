package policy

import (
	"slices"

	"cacheproxy/policy/httpcache"
)

// selectedBy returns the request fields that select among the variants of an answer, sorted. names are those that its Vary names. The result differs from
// Vary in four ways:
//
// Accept-Encoding is left out if the route compresses: fills then do not tell the origin what the client accepts. Otherwise it is added for an answer
// with a coding, which is never for all clients, though many origins forget to say so.
//
// A field that the fill has sent only because another answer of the route had named it in Vary is added, whatever this answer says: the origin has seen
// it, and no key has it. Without that, the answer to one client's value would be stored for all.
//
// Origin is added if the request had it, unless the answer says that it is for every Origin.
//
// A preference field, of which the key has only what is preferred most, is added if the origin was told it whole, or would have been, had the client said
// more: if Vary is known to name Accept-Language, the answer to "es" is not for a client with "es, de;q=0.5". It is also added if the origin refuses
// what the client prefers, since that depends on everything that the client accepts.
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
