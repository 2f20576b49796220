package policy

import (
	"slices"

	"cacheproxy/policy/httpcache"
)

// selectedBy are the request fields that select among the variants of an answer, sorted. names are the fields of its
// Vary. The result differs from Vary for four reasons.
//
// A fill of a route that compresses never tells the origin which codings the client accepts, so Accept-Encoding cannot
// have selected the answer. On other routes a coded answer is never one for all clients, though many origins forget to
// name Accept-Encoding in Vary.
//
// A field that a fill sent only because another answer of the route named the field in Vary is part of the variant,
// whatever this answer says: the origin saw the field, and no key has it. Otherwise one client's value could shape the
// answer for all.
//
// Origin is part of the variant where the request had it, unless the answer is one for every Origin.
//
// A field of which the key has the most preferred element is part of the variant where the origin was told more of the
// field, or would have been, had the client sent more. If Vary is known to name the field, the answer to a client that
// sends "es" is not for a client that sends "es, de;q=0.5". The field is also part of the variant where the origin
// refuses the preferred element: the other elements that the client accepts have influenced the refusal.
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

// keyedField reports whether a field that a fill forwards is part of the storage key: declared by the route, built of
// declared cookies, describing a content, or unlisted and keyed.
func (r *Route) keyedField(name string) bool {
	fields := r.fields()
	return fields.declares(name) || name == "Cookie" || slices.Contains(contentFields, name) || fields.keysUnlisted(name)
}

// withName is a sorted list with a name added, unless the list has it already.
func withName(names []string, name string) []string {
	at, found := slices.BinarySearch(names, name)
	if found {
		return names
	}
	return slices.Insert(names, at, name)
}
