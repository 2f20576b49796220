package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Effects are the members that a successful write of this route makes unusable: those of its target URI (RFC 9111
// §4.4), the name of the route's key, and those of Invalidates. query is the forwarded one. h is the request's header.
// body is the request's body where a template needs it; nil when the body could not be read.
//
// fallback reports that Otherwise was used, because the body or another value was missing or had too many values. It
// also reports that the route itself was named, because the body was missing and Invalidates has no Otherwise. excess
// says that the request names more than one request may. Then nothing is to be made unusable, and the write is not to
// be sent: no request may make everything unusable.
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

// of are the members that Invalidates of a route names; nil names nothing. If a value is missing, the members of the
// field Otherwise join those that are certain. Too many values of the body are replaced by the members of that field,
// which the configuration has for this case. A request with too many other values gets the excess: no configuration has
// decided that such a request may name more.
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
		case in.Otherwise == nil: // the body is unreadable and may name any copy; the route's own copies are named
			s.add(NewMember(KindRoute, route))
		}
		fallback = true
	}
	return s.list, fallback, nil
}

// members are the members of the templates: of those with values of the response where v has an answer, else of all
// others. A key without one of its values is named like the copies without that value. A tag, URL or prefix without a
// value is left out, and so is a URL or prefix with an empty host, which would stand for every host. Both count as
// missing. Names from the body are left out where the body is unreadable or has too many values. err then says so, and
// the members are those that are certain.
func (in *Invalidates) members(v Values, body []byte) (_ []Member, missing bool, err error) {
	var doc *document
	if in.usesBody() && v.answer == nil {
		doc, err = parseDocument(body)
	}
	var s memberSet
	kinds := []struct {
		templates []Template
		as        form
		partly    bool // a name without one of its values counts too
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
					as = purgedAs // a row names the host, and no client does
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

// uriEffects are the members that an invalidation of one URI names: with its exact query, and with the query as each
// reading route forwards it, since copies are named by that. A path that is unclean, or has escaped separators, also
// stands for the path that an origin would make of it. m needs no route.
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

// URLMembers are the members that an invalidation of one URL names: with its exact query, and with the query as each
// route that may read the URL forwards it. An empty host stands for every host, but then only the query rules of routes
// for any host apply.
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

// urlEffects are the members of a rendered URL: with a query exactly that URL, without one the path with every query.
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

// prefixEffects are the members of a rendered prefix.
func prefixEffects(url string, as hostNaming) []Member {
	host, path, ok := cutURL(url)
	if !ok {
		return nil
	}
	return as.prefix(host, path)
}

// hostsNamed is how a template of a URL or prefix names its host. A host that the configuration spells out is an order
// of the operator. A host from a request is the client's word, which is no order about the hosts of others.
func (t Template) hostsNamed() hostNaming {
	if host, _, _ := cutURL(t.text); strings.Contains(host, "{") {
		return askedAs
	}
	return purgedAs
}

// cutURL splits a URL of a template: a path, for every host, or http://host/path. ok is false where the host of an
// absolute URL is empty, since an empty host would stand for every host.
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

// ResponseEffects are the further members that the answer to a successful write makes unusable: the URIs in Location
// and Content-Location that have the same origin as the target (RFC 9111 §4.4), and the groups of that origin in
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

// speaksFor reports whether the API of this route may invalidate the copies of a URI that its answer names. If the
// upstream of the reading route is sent a Host of its own, and this route's upstream another one, they are two origins
// behind one host. Each sees only its own resources (RFC 9111 §4.4 has a cache invalidate nothing of another origin). A
// write to the URI itself always concerns its copies.
func (r *Route) speaksFor(m *Match, u httpcache.Target) bool {
	if m == nil || m.table == nil {
		return true
	}
	read := m.table.readers(CleanTarget(u))
	return len(read) == 0 || slices.ContainsFunc(read, func(by *Route) bool { return by.Host.Literal == "" || by.Host.Literal == r.Host.Literal })
}

// ReadsBody reports whether the names depend on the request's body. False for a nil Invalidates.
func (in *Invalidates) ReadsBody() bool { return in != nil && in.usesBody() }

// ReadsResponse reports whether some of the names come from the JSON that answers a write. False for a nil Invalidates.
func (in *Invalidates) ReadsResponse() bool {
	return in != nil && slices.ContainsFunc(in.templates(), Template.UsesResponse)
}

// AnswerEffects are the members that a write makes unusable by the JSON of its answer, besides those of Effects. answer
// is nil where the answer has no readable JSON. fallback reports that some of the members are unknown. The members of
// Otherwise are then named, and the route itself where Otherwise is missing or incomplete.
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
