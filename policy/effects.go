package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Effects are the members that a successful write of this route makes unusable: its target URI (RFC 9111 §4.4), the
// copy that the route's key names, and what Invalidates says. Query is the one forwarded, h the request's header, body
// the request's body where a template needs it; nil when it could not be read.
//
// fallback reports that the members include those of Otherwise, because the body or another value was missing, or there were too many; or the whole
// route, because the body was missing and there is no Otherwise. excess says that the request names more than one request may: then it must not be
// sent, and nothing is invalidated. A request never invalidates everything.
func (r *Route) Effects(m *Match, t httpcache.Target, query string, h http.Header, body []byte) (members []Member, fallback bool, excess *ExcessError) {
	if r.Invalidates != nil && r.Invalidates.Nothing {
		return nil, false, nil
	}
	v := Values{Match: m, Header: h, Target: t, Query: query}
	var s memberSet
	s.add(m.uriEffects(t, askedAs)...)
	s.add(m.uriEffects(t.WithQuery(query), askedAs)...)
	keys, err := r.Key.names(v)
	if errors.As(err, &excess) {
		return nil, false, excess
	}
	s.addNames(KindKey, keys)
	named, fallback, excess := r.Invalidates.of(r.Name, v, body)
	if excess != nil {
		return nil, fallback, excess
	}
	if s.add(named...); len(s.list) > MaxEffects {
		return nil, fallback, &ExcessError{what: "names of copies", limit: MaxEffects}
	}
	return s.list, fallback, nil
}

// of returns the members that the templates of a route's Invalidates name; nil names none. If not all templates can be filled in, it adds those of
// Otherwise: the members that are certain are invalidated in any case. Too many values are an excess, except in a body if the route has an Otherwise,
// since then the operator has said what such a body invalidates.
func (in *Invalidates) of(route string, v Values, body []byte) (members []Member, fallback bool, excess *ExcessError) {
	var s memberSet
	for ; in != nil; in = in.Otherwise {
		list, missing, err := in.members(v, body)
		if errors.As(err, &excess) && (in.Otherwise == nil || !excess.ofBody) {
			return nil, fallback, excess
		}
		excess = nil
		s.add(list...)
		switch {
		case err == nil && (!missing || in.Otherwise == nil):
			return s.list, fallback, nil
		case in.Otherwise == nil: // the body cannot be read: it may name any copy, of which the route's are those that it has to do with
			s.add(NewMember(KindRoute, route))
		}
		fallback = true
	}
	return s.list, fallback, nil
}

// members returns what the templates name: with v.answer set, those with a value of the response; otherwise all others. If a value is missing, a key is
// named as copies without the value are, and a tag, URL or prefix is left out; a URL or prefix with an empty host, which would mean every host, is left
// out too. Each is reported as missing. Templates with a value of the body are left out if the body cannot be read or has too many values; then err
// says why, and the members are those that could be named.
func (in *Invalidates) members(v Values, body []byte) (_ []Member, missing bool, err error) {
	var doc *document
	if in.usesBody() && v.answer == nil {
		doc, err = parseDocument(body)
	}
	var s memberSet
	kinds := []struct {
		templates []Template
		as        form
		partly    bool // a name without one of its values is one all the same
		named     func(name string, as hostNaming) []Member
	}{
		{in.Keys, nameForm, true, func(name string, _ hostNaming) []Member { return []Member{NewMember(KindKey, name)} }},
		{in.Tags, nameForm, false, func(name string, _ hostNaming) []Member { return []Member{NewMember(KindTag, name)} }},
		{in.URLs, urlForm, false, v.Match.urlEffects},
		{in.Prefixes, prefixForm, false, prefixEffects},
	}
	for _, kind := range kinds {
		for _, t := range kind.templates {
			if t.UsesResponse() != (v.answer != nil) || doc == nil && t.UsesBody() && v.answer == nil {
				continue
			}
			names, incomplete, failed := t.render(v, doc, kind.as)
			if failed != nil {
				var excess *ExcessError
				if errors.As(failed, &excess) && !excess.ofBody {
					return nil, false, fmt.Errorf("render %q: %w", t.text, failed)
				}
				err = fmt.Errorf("render %q: %w", t.text, failed)
			}
			missing = missing || incomplete
			if incomplete && !kind.partly {
				continue
			}
			for _, name := range names {
				as := t.hostsNamed()
				if v.row != nil {
					as = purgedAs // the host that a row names is no client's
				}
				members := kind.named(name, as)
				missing = missing || len(members) == 0
				if s.add(members...); len(s.list) > MaxEffects {
					return nil, false, &ExcessError{what: "names of copies", limit: MaxEffects, ofBody: in.usesBody() || v.answer != nil}
				}
			}
		}
	}
	if v.answer == nil {
		s.addNames(KindRoute, in.Routes)
	}
	return s.list, missing, err
}

func (in *Invalidates) usesBody() bool { return slices.ContainsFunc(in.templates(), Template.UsesBody) }

func (in *Invalidates) templates() []Template {
	return slices.Concat(in.Keys, in.Tags, in.URLs, in.Prefixes)
}

// uriEffects returns the members that an invalidation of one URI names: with its exact query, and with the query as the routes that read the URI forward
// it, since copies are named by that. If the path is unclean or has escaped separators, the clean path is named too. m may have no route.
func (m *Match) uriEffects(t httpcache.Target, as hostNaming) []Member {
	var s memberSet
	s.add(as.url(t)...)
	clean := CleanTarget(t)
	s.add(as.url(clean)...)
	if m != nil && m.table != nil {
		s.add(m.table.urlMembers(t, as)...)
		s.add(m.table.urlMembers(clean, as)...)
	}
	return s.list
}

// URLMembers are what an invalidation of one URL names: with its query as it stands, and as each route that may read the URL
// forwards it. With an empty host it meets every host, but only the query rules of routes for any host are known.
func (t *Table) URLMembers(u httpcache.Target) []Member {
	return t.urlMembers(u, purgedAs)
}

func (t *Table) urlMembers(u httpcache.Target, as hostNaming) []Member {
	var s memberSet
	s.add(as.url(u)...)
	if !u.HasQuery {
		return s.list
	}
	for _, r := range t.readers(u) {
		if query, reason := r.Query.Apply(u.Query); reason == NoReason {
			s.add(as.url(u.WithQuery(query))...)
		}
	}
	return s.list
}

// urlEffects names what a rendered URL makes unusable: with a query exactly that, without one the path with every query.
func (m *Match) urlEffects(url string, as hostNaming) []Member {
	host, pathQuery, ok := cutURL(url)
	if !ok {
		return nil
	}
	path, query, hasQuery := strings.Cut(pathQuery, "?")
	if !hasQuery {
		return as.path(host, path)
	}
	t := httpcache.Target{Host: host, Path: path, Query: query, HasQuery: true}
	return m.uriEffects(t, as)
}

// prefixEffects names what a rendered prefix makes unusable.
func prefixEffects(url string, as hostNaming) []Member {
	host, path, ok := cutURL(url)
	if !ok {
		return nil
	}
	return as.prefix(host, path)
}

// hostsNamed says for which hosts a template of a URL or prefix names copies. A host that the configuration spells out is an order of the operator; one
// that comes from a request is the client's, who must not invalidate copies of other hosts.
func (t Template) hostsNamed() hostNaming {
	if host, _, _ := cutURL(t.text); strings.Contains(host, "{") {
		return askedAs
	}
	return purgedAs
}

// cutURL splits a URL of a template: a path, for every host, or http://host/path. It is not ok if the host in the second form is empty, which would mean
// every host too.
func cutURL(url string) (host, pathQuery string, ok bool) {
	_, after, absolute := strings.Cut(url, "://")
	if !absolute || strings.HasPrefix(url, "/") {
		return "", url, true
	}
	host, pathQuery = after, "/"
	if i := strings.IndexAny(after, "/?"); i >= 0 {
		host, pathQuery = after[:i], after[i:]
	}
	return host, pathQuery, memberHost(host) != ""
}

// ResponseEffects are the members that the answer of this route to a successful write makes unusable besides: the URIs in Location and
// Content-Location, where they are of the same origin as the target (RFC 9111 §4.4), and the groups of that origin in
// Cache-Group-Invalidation (RFC 9875 §3). For before see groupEffects.
func (r *Route) ResponseEffects(m *Match, t httpcache.Target, response http.Header) (members, before []Member) {
	var s memberSet
	for _, field := range []string{"Location", "Content-Location"} {
		for _, value := range response[field] {
			if u, ok := httpcache.ResolveReference(t, value); ok && r.speaksFor(m, u) {
				s.add(m.uriEffects(u, askedAs)...)
			}
		}
	}
	groups, before := groupEffects(r.Host.Literal, t, response)
	s.add(groups...)
	return s.list, before
}

// speaksFor reports whether an answer of this route's API may invalidate the copies of a URI that the answer names. If the URI is read from an API with a
// Host of its own, and this API has another, they are two origins behind one host, and a cache must not invalidate copies of another origin (RFC 9111
// §4.4). A write to the URI itself always invalidates its copies.
func (r *Route) speaksFor(m *Match, u httpcache.Target) bool {
	if m == nil || m.table == nil {
		return true
	}
	read := m.table.readers(CleanTarget(u))
	return len(read) == 0 || slices.ContainsFunc(read, func(by *Route) bool { return by.Host.Literal == "" || by.Host.Literal == r.Host.Literal })
}

// ReadsBody reports whether the names depend on the request's body. A nil Invalidates does not.
func (in *Invalidates) ReadsBody() bool { return in != nil && in.usesBody() }

// ReadsResponse reports whether some of the names are in the JSON that answers a write. A nil Invalidates has none there.
func (in *Invalidates) ReadsResponse() bool {
	return in != nil && slices.ContainsFunc(in.templates(), Template.UsesResponse)
}

// AnswerEffects returns the members that the JSON of a write's answer names, besides those of Effects. answer is nil if there is none, or none that can be
// read. fallback reports that not all members could be named: then those of Otherwise are returned too or, without one, the whole route.
func (in *Invalidates) AnswerEffects(route string, m *Match, t httpcache.Target, query string, h http.Header, answer []byte) (members []Member, fallback bool) {
	if !in.ReadsResponse() {
		return nil, false
	}
	var s memberSet
	v := Values{Match: m, Header: h, Target: t, Query: query}
	if doc, err := parseDocument(answer); err == nil {
		v.answer = doc
		list, missing, err := in.members(v, nil)
		if s.add(list...); err == nil && !missing {
			return s.list, false
		}
		v.answer = nil
	}
	if in.Otherwise != nil {
		list, missing, err := in.Otherwise.members(v, nil)
		if s.add(list...); err == nil && !missing {
			return s.list, true
		}
	}
	s.add(NewMember(KindRoute, route))
	return s.list, true
}
