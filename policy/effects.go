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
// Fallback reports that Otherwise was used, because the body or another value was not there or there was too much of it, or
// the route itself, because the body was not there and nobody has said what then. Excess says that the request names more
// than one request may; nothing of it is to be made unusable then, nor is it to be sent. No request stands for everything.
func (r *Route) Effects(m *Match, t httpcache.Target, query string, h http.Header, body []byte) (members []Member, fallback bool, excess *ExcessError) {
	v := Values{Match: m, Header: h, Target: t, Query: query}
	var s memberSet
	s.add(m.uriEffects(t)...)
	s.add(m.uriEffects(t.WithQuery(query))...)
	keys, err := r.keyNames(v)
	if errors.As(err, &excess) {
		return nil, false, excess
	}
	s.addNames(KindKey, keys)
	named, fallback, excess := r.invalidated(v, body)
	if excess != nil {
		return nil, fallback, excess
	}
	if s.add(named...); len(s.list) > MaxEffects {
		return nil, fallback, &ExcessError{what: "names of copies", limit: MaxEffects}
	}
	return s.list, fallback, nil
}

// invalidated is what Invalidates names, and where not all of it can be filled in, what Otherwise names besides: what is named
// without doubt goes away in any case. Who may answer with Otherwise for too many values is the one who has written it, for
// bodies; nobody else's request may stand for that.
func (r *Route) invalidated(v Values, body []byte) (members []Member, fallback bool, excess *ExcessError) {
	var s memberSet
	for in := r.Invalidates; in != nil; in = in.Otherwise {
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
			s.add(NewMember(KindRoute, r.Name))
		}
		fallback = true
	}
	return s.list, fallback, nil
}

// members are what the templates name. A key without one of its values is named as copies without it are; a tag, URL or
// prefix is left out, and so is a URL or prefix with an empty host, which would stand for every host. Each is reported as
// missing. What names the body is left out where that cannot be read or has too many values; the error says so, and the
// members are those that could be named.
func (in *Invalidates) members(v Values, body []byte) (_ []Member, missing bool, err error) {
	var doc *document
	if in.usesBody() {
		doc, err = parseDocument(body)
	}
	var s memberSet
	kinds := []struct {
		templates []Template
		as        form
		partly    bool // a name without one of its values is one all the same
		named     func(name string) []Member
	}{
		{in.Keys, nameForm, true, func(name string) []Member { return []Member{NewMember(KindKey, name)} }},
		{in.Tags, nameForm, false, func(name string) []Member { return []Member{NewMember(KindTag, name)} }},
		{in.URLs, urlForm, false, v.Match.urlEffects},
		{in.Prefixes, prefixForm, false, prefixEffects},
	}
	for _, kind := range kinds {
		for _, t := range kind.templates {
			if doc == nil && t.UsesBody() {
				continue
			}
			names, incomplete, failed := t.render(v, doc, kind.as)
			if failed != nil {
				var excess *ExcessError
				if errors.As(failed, &excess) && !excess.ofBody {
					return nil, false, fmt.Errorf("render %q: %w", t.text, failed)
				}
				err = fmt.Errorf("render %q: %w", t.text, failed)
				continue
			}
			missing = missing || incomplete
			if incomplete && !kind.partly {
				continue
			}
			for _, name := range names {
				members := kind.named(name)
				missing = missing || len(members) == 0
				if s.add(members...); len(s.list) > MaxEffects {
					return nil, false, &ExcessError{what: "names of copies", limit: MaxEffects, ofBody: in.usesBody()}
				}
			}
		}
	}
	s.addNames(KindRoute, in.Routes)
	return s.list, missing, err
}

func (in *Invalidates) usesBody() bool {
	return slices.ContainsFunc(slices.Concat(in.Keys, in.Tags, in.URLs, in.Prefixes), Template.UsesBody)
}

// uriEffects are the members that invalidating one URI of this host names, with its exact query and also with the query
// as the route that reads it forwards it, since that is how the copies are named. An unclean path also stands for the
// one that an origin would make of it. It needs no matched route.
func (m *Match) uriEffects(t httpcache.Target) []Member {
	var s memberSet
	s.add(URLMembers(t.Host, t.Path, t.Query, t.HasQuery)...)
	clean := CleanTarget(t)
	s.add(URLMembers(clean.Host, clean.Path, clean.Query, clean.HasQuery)...)
	if m != nil && m.table != nil {
		s.add(m.table.URLMembers(clean)...)
	}
	return s.list
}

// URLMembers are what an invalidation of one URL names: with its query as it stands, and as each route that may read the URL
// forwards it. With an empty host it meets every host, but only the query rules of routes for any host are known.
func (t *Table) URLMembers(u httpcache.Target) []Member {
	var s memberSet
	s.add(URLMembers(u.Host, u.Path, u.Query, u.HasQuery)...)
	if !u.HasQuery {
		return s.list
	}
	for _, r := range t.readers(u) {
		if query, reason := r.Query.Apply(u.Query); reason == NoReason {
			forwarded := u.WithQuery(query)
			s.add(URLMembers(forwarded.Host, forwarded.Path, forwarded.Query, forwarded.HasQuery)...)
		}
	}
	return s.list
}

// urlEffects names what a rendered URL makes unusable: with a query exactly that, without one the path with every query.
func (m *Match) urlEffects(url string) []Member {
	host, pathQuery, ok := cutURL(url)
	if !ok {
		return nil
	}
	path, query, hasQuery := strings.Cut(pathQuery, "?")
	if !hasQuery {
		return PathMembers(host, path)
	}
	t := httpcache.Target{Host: host, Path: path, Query: query, HasQuery: true}
	return m.uriEffects(t)
}

// prefixEffects names what a rendered prefix makes unusable.
func prefixEffects(url string) []Member {
	host, path, ok := cutURL(url)
	if !ok {
		return nil
	}
	return PrefixMembers(host, path)
}

// cutURL takes apart a URL of a template: a path, for every host, or http://host/path. It is not ok without a host where one
// was to be: none would stand for every host as well.
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

// ResponseEffects are the members that the answer to a successful write makes unusable besides: the URIs in Location and
// Content-Location, where they are of the same origin as the target (RFC 9111 §4.4), and the groups of that origin in
// Cache-Group-Invalidation (RFC 9875 §3).
func (m *Match) ResponseEffects(t httpcache.Target, response http.Header) []Member {
	var s memberSet
	for _, field := range []string{"Location", "Content-Location"} {
		for _, value := range response[field] {
			if u, ok := httpcache.ResolveReference(t, value); ok {
				s.add(m.uriEffects(u)...)
			}
		}
	}
	s.add(groupEffects(t, response)...)
	return s.list
}

// ReadsBody reports whether the names depend on the request's body. A nil Invalidates does not.
func (in *Invalidates) ReadsBody() bool { return in != nil && in.usesBody() }
