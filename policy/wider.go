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

// Wider returns members that every copy has that has m, the member of a URL, a path or a prefix, and of which there can only be few: the deepest prefix of
// the path with which a pattern begins. spared are exceptions, the prefixes of other patterns below that one: copies with one of them are not to be
// invalidated. So invalidating wider, except spared, costs only copies of the patterns with this beginning. There are none if m is no member of a
// URL, is as wide already, or would need too many exceptions.
//
// The result is right on every instance, whatever its table: each copy below a prefix has the member of the prefix, whatever route it belongs to there or
// after the next change of the configuration, and no copy that has m has a spared one. With the member of a route instead, that would not hold.
//
// Since clients can make up hosts as they make up paths, a host that is in no pattern is widened to every host, except those in patterns.
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
