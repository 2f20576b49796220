package policy

import (
	"net/url"
	"slices"
	"strings"
)

// maxSpared bounds the names that a wider name spares: beyond the bound a name is not widened.
const maxSpared = 1024

// prefixes are the literal beginnings of the patterns of one host in the form of KindPrefix, without trailing slash; ""
// is the whole host. Sorted, without duplicates.
type prefixes []string

func (p *prefixes) add(l *leaf) {
	var path strings.Builder
	for _, s := range l.pattern.segments {
		if s.kind != segLiteral {
			break
		}
		path.WriteString("/" + url.PathEscape(s.text))
	}
	prefix := strings.TrimRight(memberPath(path.String()), "/")
	if i, found := slices.BinarySearch(*p, prefix); !found {
		*p = slices.Insert(*p, i, prefix)
	}
}

// below reports whether a path equals a prefix or is below it.
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// Wider are names that find every copy that the name of a URL, path or prefix finds, and of which there are few: the
// deepest prefix of the path that begins a pattern. Copies that bear one of the spared names, which are prefixes of
// other patterns below it, are not meant. So a wider name costs only the copies of the patterns with this beginning.
// Wider returns nothing for members of other kinds, for names that are as wide already, and where there would be too
// many spared names.
//
// The result finds the same copies with any table. Each copy below a prefix bears the prefix's name, whatever its route
// on another instance or after the next change of the configuration, and no copy that m finds bears a spared name. The
// name of a route does not have this property.
//
// A client can make up hosts as well as paths. A host that is in no pattern is widened to every host, except those in
// patterns.
func (t *Table) Wider(m Member) (wider, spared []Member) {
	host, path, ok := strings.Cut(m.Value(), "/")
	if k := m.Kind(); !ok || host == purgedHost || k != KindURL && k != KindPath && k != KindPrefix {
		return nil, nil
	}
	if path = "/" + path; m.Kind() == KindURL {
		path, _, _ = strings.Cut(path, "?")
	}
	lists, others := []prefixes{t.anyHost.prefixes}, false
	switch tree := t.hosts[host]; {
	case tree != nil:
		lists = append(lists, tree.prefixes)
	case host != sharedHost:
		host, others = "", host != ""
	}
	deepest := ""
	for _, list := range lists {
		for _, p := range list {
			if len(p) > len(deepest) && below(path, p) {
				deepest = p
			}
		}
	}
	if wider = []Member{NewMember(KindPrefix, host+deepest)}; wider[0] == m {
		return nil, nil
	}
	if deepest == "" && host != "" && host != sharedHost {
		wider = append(wider, hostOfSeveral(host))
	}
	var s memberSet
	for _, list := range lists {
		for _, p := range list {
			if len(p) > len(deepest) && below(p, deepest) && !(m.Kind() == KindPrefix && below(p, path)) {
				s.add(NewMember(KindPrefix, host+p))
			}
		}
	}
	if others {
		for listed := range t.hosts {
			s.add(NewMember(KindPrefix, memberHost(listed)))
		}
	}
	if len(s.list) > maxSpared {
		return nil, nil
	}
	return wider, s.list
}
