package policy

import (
	"fmt"
	"net/http"
	"strings"
)

// Effects are the members that a successful write of this route makes unusable: its target URI (RFC 9111 §4.4), the
// copy that the route's key names, and what Invalidates says. Query is the one forwarded, h the request's header, body
// the request's body where a template needs it; nil when it could not be read.
//
// Fallback reports that Otherwise was used, because the body or another value was not there. The error is that there was
// no Otherwise to use, or more names than can be; the members then are everything, since what the write touched is not
// known.
func (r *Route) Effects(m *Match, t Target, query string, h http.Header, body []byte) (members []Member, fallback bool, err error) {
	v := Values{Match: m, Header: h, Target: t, Query: query}
	var s memberSet
	s.add(m.URIEffects(t)...)
	s.add(m.URIEffects(t.WithQuery(query))...)
	keys, err := r.keyNames(v)
	if err != nil {
		s.add(All)
		return s.list, false, fmt.Errorf("name the key of %s: %w", r.Name, err)
	}
	s.addNames(KindKey, keys)
	for in := r.Invalidates; in != nil; in = in.Otherwise {
		list, missing, err := in.members(v, body)
		if err == nil && (!missing || in.Otherwise == nil) {
			s.add(list...)
			break
		}
		if in.Otherwise == nil {
			s.add(All)
			return s.list, fallback, fmt.Errorf("name what %s invalidates: %w", r.Name, err)
		}
		fallback = true
	}
	return s.list, fallback, nil
}

// members are what the templates name. A key without one of its values is named as copies without it are; a tag, URL or
// prefix is left out. Either is reported as missing.
func (in *Invalidates) members(v Values, body []byte) (_ []Member, missing bool, err error) {
	var doc *document
	if in.usesBody() {
		if doc, err = parseDocument(body); err != nil {
			return nil, false, err
		}
	}
	var s memberSet
	kinds := []struct {
		templates []Template
		write     form
		add       func(name string, complete bool)
	}{
		{in.Keys, nameForm, func(name string, _ bool) { s.add(NewMember(KindKey, name)) }},
		{in.Tags, nameForm, func(name string, complete bool) {
			if complete {
				s.add(NewMember(KindTag, name))
			}
		}},
		{in.URLs, urlForm, func(name string, complete bool) {
			if complete {
				s.add(v.Match.urlEffects(name)...)
			}
		}},
		{in.Prefixes, urlForm, func(name string, complete bool) {
			if complete {
				s.add(PrefixMembers(cutURL(name))...)
			}
		}},
	}
	for _, kind := range kinds {
		for _, t := range kind.templates {
			names, incomplete, err := t.render(v, doc, kind.write)
			if err != nil {
				return nil, false, fmt.Errorf("render %q: %w", t.text, err)
			}
			missing = missing || incomplete
			for _, name := range names {
				kind.add(name, !incomplete)
			}
		}
	}
	s.addNames(KindRoute, in.Routes)
	return s.list, missing, nil
}

func (in *Invalidates) usesBody() bool {
	for _, list := range [][]Template{in.Keys, in.Tags, in.URLs, in.Prefixes} {
		for _, t := range list {
			if t.UsesBody() {
				return true
			}
		}
	}
	return false
}

// URIEffects are the members that invalidating one URI of this host names, with its exact query and also with the query
// as the route that reads it forwards it, since that is how the copies are named. An unclean path also stands for the
// one that an origin would make of it. It needs no matched route.
func (m *Match) URIEffects(t Target) []Member {
	var s memberSet
	s.add(URLMembers(t.Host, t.Path, t.Query, t.HasQuery)...)
	clean := CleanTarget(t)
	s.add(URLMembers(clean.Host, clean.Path, clean.Query, clean.HasQuery)...)
	if m != nil && m.table != nil {
		s.add(m.table.URLMembers(clean)...)
	}
	return s.list
}

// URLMembers are what an invalidation of one URL names: with its query as it stands, and as the route that reads the URL
// forwards it. With an empty host it meets every host, but only the query rules of routes for any host are known.
func (t *Table) URLMembers(u Target) []Member {
	var s memberSet
	s.add(URLMembers(u.Host, u.Path, u.Query, u.HasQuery)...)
	if m, _ := t.Match(http.MethodGet, u); m.Route != nil && u.HasQuery {
		if query, reason := m.Route.Query.Apply(u.Query); reason == NoReason {
			u = u.WithQuery(query)
			s.add(URLMembers(u.Host, u.Path, u.Query, u.HasQuery)...)
		}
	}
	return s.list
}

// urlEffects names what a rendered URL makes unusable: with a query exactly that, without one the path with every query.
func (m *Match) urlEffects(url string) []Member {
	host, pathQuery := cutURL(url)
	path, query, hasQuery := strings.Cut(pathQuery, "?")
	if !hasQuery {
		return PathMembers(host, path)
	}
	t := Target{Host: host, Path: path, Query: query, HasQuery: true}
	return m.URIEffects(t)
}

// cutURL takes apart a URL of a template: a path, for every host, or http://host/path.
func cutURL(url string) (host, pathQuery string) {
	_, after, absolute := strings.Cut(url, "://")
	if !absolute || strings.HasPrefix(url, "/") {
		return "", url
	}
	if i := strings.IndexAny(after, "/?"); i >= 0 {
		return after[:i], after[i:]
	}
	return after, "/"
}

// ResponseEffects are the members that the answer to a successful write makes unusable besides: the URIs in Location and
// Content-Location, where they are of the same origin as the target (RFC 9111 §4.4), and the groups of that origin in
// Cache-Group-Invalidation (RFC 9875 §3).
func (m *Match) ResponseEffects(t Target, response http.Header) []Member {
	var s memberSet
	for _, field := range []string{"Location", "Content-Location"} {
		for _, value := range response[field] {
			if u, ok := resolveReference(t, value); ok {
				s.add(m.URIEffects(u)...)
			}
		}
	}
	s.add(groupEffects(t, response)...)
	return s.list
}
