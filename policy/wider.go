package policy

import (
	"net/url"
	"slices"
	"strings"
)

// maxSpared bounds what a wider name leaves alone: with more, a name is not widened.
const maxSpared = 1024

// prefixes are the literal beginnings of the patterns of one host as KindPrefix has them, without trailing slash; the whole host is
// "". Sorted, each once.
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

// below reports whether a path is a prefix or below it.
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// Wider are names that find every copy that a URL's, path's or prefix's name finds, and are of few: the deepest prefix of the path
// that begins a pattern. Copies that bear one of the spared names, other patterns' prefixes below it, are not meant: they cost the
// copies that the patterns with this beginning have, and no others. There are none for members that are no
// names of URLs, or as wide already, or would have too many exceptions.
//
// What is found does not depend on whose table this is: each copy below a prefix bears the prefix's name, whatever route it belongs to on
// another instance or after the next change of the configuration, and no copy that the name finds bears a spared one. The name of a
// route would not do.
//
// A client makes up hosts as it makes up paths. A host that is in no pattern is widened to every host, but for those in patterns.
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
