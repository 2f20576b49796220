package policy

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Copies of routes whose upstream has a Host of its own do not belong to the host that a client has named. Their members have one of these texts instead
// of a host. No Host of a request can be equal to them.
const (
	// sharedHost is in members of copies that requests for any host may get.
	sharedHost = "*"
	// purgedHost is in members that purges and configured invalidations name, and writes do not: the host that an operator names may be that of
	// clients or that of the API.
	purgedHost = "**"
)

// memberSet collects members, each once, in their order.
type memberSet struct {
	list []Member
	seen map[Member]bool // of a list that is longer than fewMembers; nil: it is not, and is looked through
	tags int             // of them, that the response lists
}

// excessive reports whether these are more members than a copy may have, so that no more need to be added.
func (s *memberSet) excessive() bool { return s.tags > maxTags || len(s.list)-s.tags > maxNames }

func (s *memberSet) add(members ...Member) {
	for _, m := range members {
		if s.has(m) {
			continue
		}
		s.list = append(s.list, m)
		if s.seen != nil {
			s.seen[m] = true
		}
	}
}

// has reports whether m is in the set.
func (s *memberSet) has(m Member) bool {
	if len(s.list) <= fewMembers {
		return slices.Contains(s.list, m)
	}
	if s.seen == nil {
		s.seen = make(map[Member]bool, 4*fewMembers)
		for _, other := range s.list {
			s.seen[other] = true
		}
	}
	return s.seen[m]
}

// fewMembers is how many members are compared with each other sooner than they are hashed: those that most copies have.
const fewMembers = 16

func (s *memberSet) addNames(kind MemberKind, names []string) {
	for _, name := range names {
		s.add(NewMember(kind, name))
	}
}

// Members are the names by which the copy of an answer can be invalidated: everything, the route, the key, the tags of the route and of the answer, the
// answer's cache groups, the URL, the path, and every prefix of the path. query is the one forwarded, h the request's header. If a slash or a backslash
// is escaped in the path, the copy also has the members of the path with plain slashes: an origin that decodes the path has answered with the resource
// at that path, and whoever writes to or purges the resource does not know how others have spelled its path. If the result has more than MaxMembers,
// some of which may be empty, the copy must not be stored.
func (r *Route) Members(m *Match, t httpcache.Target, query string, h http.Header, response http.Header) []Member {
	t = t.WithQuery(query)
	v := Values{Match: m, Header: h, Target: t, Query: query}
	s := memberSet{list: make([]Member, 0, fewMembers)}
	s.add(All, NewMember(KindRoute, r.Name))
	keys, err := r.Key.names(v)
	s.addNames(KindKey, keys)
	for _, tag := range r.Tags {
		names, missing, tooMany := tag.render(v, nil, nameForm)
		if !missing {
			s.addNames(KindTag, names)
		}
		err = cmp.Or(err, tooMany)
	}
	own := len(s.list)
	s.addNames(KindTag, responseTags(response, r.tagHeaders()))
	s.tags = len(s.list) - own
	paths := []string{memberPath(t.Path)}
	segments := strings.Count(paths[0], "/")
	if hasEscapedSeparator(t.Path) {
		clean := memberPath(CleanTarget(t).Path)
		paths = append(paths, clean)
		segments += strings.Count(clean, "/") + 2
	}
	hosts := []string{memberHost(t.Host)}
	groups := response["Cache-Groups"]
	switch literal := r.Host.Literal; {
	case literal == "" && len(groups) > 0:
		s.add(groupMembers(httpcache.Origin(t.Scheme, t.Host), groups)...)
	case literal != "":
		s.add(groupMembers(upstreamHost(literal), groups)...)
		s.add(groupMembers(sharedHost, groups)...)
		s.add(NewMember(KindPrefix, upstreamHost(literal)))
		hosts = askedHosts(r.Patterns, segments)
	}
	for _, host := range append(hosts, "") {
		for _, path := range paths {
			s.addPath(host, path, t)
		}
	}
	if len(hosts) > 2 {
		for i, m := range s.list {
			if m.Kind() == KindPrefix && slices.Contains(hosts[:len(hosts)-1], m.Value()) {
				s.list[i] = hostOfSeveral(m.Value())
			}
		}
	}
	if err != nil || s.excessive() {
		// The members are not all known, or too many: the list is filled up, so that the copy is not stored.
		s.list = append(s.list, make([]Member, max(0, MaxMembers+1-len(s.list)))...)
	}
	return s.list
}

// hostOfSeveral is the member for everything of a host, on copies that requests for several hosts may get. Copies of one host have the plain prefix
// instead; Table.Wider relies on the difference to spare them.
func hostOfSeveral(host string) Member { return NewMember(KindPrefix, host+"//") }

// askedHosts returns the hosts, for members, of a copy of a route whose upstream has a Host of its own. They are the hosts of the route's patterns, whose
// clients may get the copy, and whose writes therefore concern it: so a write at the host of one API does not invalidate what another API has under the
// same path. A copy that requests for any host may get has sharedHost, which every write names as well: a write does not know how other configurations
// route its URL, and the copy needs every name that a write to one of its URLs can have.
//
// Each host adds as many members as the path has segments. If that would be too many, sharedHost is used instead.
func askedHosts(patterns []Pattern, segments int) []string {
	const most = 64
	var hosts []string
	for _, p := range patterns {
		host := memberHost(p.host)
		if host == "" {
			return []string{sharedHost}
		}
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 || len(hosts)*(segments+3) > most {
		return []string{sharedHost}
	}
	return append(hosts, purgedHost)
}

// names are those that the template of a key gives. A value that the request does not have is empty in them, on copies
// and on what a write makes unusable alike.
func (t Template) names(v Values) ([]string, error) {
	if t.Zero() {
		return nil, nil
	}
	names, _, err := t.render(v, nil, nameForm)
	return names, err
}

// addPath adds the URL of a canonical path, the path, and its prefixes, which are parts of one string.
func (s *memberSet) addPath(host, path string, t httpcache.Target) {
	all, length := Member(string(KindURL)+host+path+string(KindPath)+host+path+string(KindPrefix)+host+path), len(host)+len(path)+1
	url := all[:length]
	if t.HasQuery {
		url = urlMember(host, path, t.Query, true)
	}
	s.add(url, all[length:2*length])
	s.addPrefixes(all[2*length:], len(host)+1)
}

// addPrefixes adds a prefix without trailing slash and all of its ancestors down to the root, of that length.
func (s *memberSet) addPrefixes(whole Member, root int) {
	for len(whole) > root && whole[len(whole)-1] == '/' {
		whole = whole[:len(whole)-1]
	}
	// Each takes as long as the path is: with more than a copy may have, the others make no difference.
	for i := root; i < len(whole) && !s.excessive(); i++ {
		if whole[i] == '/' {
			s.add(whole[:i])
		}
	}
	s.add(whole[:root], whole)
}

// knownTagHeaders are the fields in which responses list tags where a route does not say, by their canonical names.
var knownTagHeaders = []string{"Surrogate-Key", "Xkey", "Cache-Tag", "Cache-Tags", "X-Cache-Tags", "X-Magento-Tags"}

// responseTags returns the tags in the fields of these names. Each field is split as the systems do that purge by it: Surrogate-Key at spaces, Xkey at
// spaces and commas, Cache-Tag and X-Magento-Tags at commas, and other fields at commas and spaces. If a text can be read as one tag with a separator in
// it or as several tags, all of these are returned.
func responseTags(h http.Header, names []string) (tags []string) {
	for _, name := range names {
		for _, line := range h[name] {
			switch name {
			case "Surrogate-Key":
				for key := range strings.FieldsSeq(line) {
					if key = strings.Trim(key, ","); strings.Contains(key, ",") {
						tags = append(tags, strings.Split(key, ",")...)
					}
					tags = append(tags, key)
				}
			case "Xkey":
				tags = append(tags, strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })...)
			default:
				for tag := range strings.SplitSeq(line, ",") {
					if tag = strings.TrimSpace(tag); name != "Cache-Tag" && name != "X-Magento-Tags" {
						if parts := strings.Fields(tag); len(parts) > 1 {
							tags = append(tags, parts...)
						}
					}
					tags = append(tags, tag)
				}
			}
		}
	}
	return slices.DeleteFunc(tags, func(tag string) bool { return tag == "" })
}

// NamesMembers reports whether the header of an answer on the route names members of its copy. Those of any other are what Members gives
// without one.
func (m *Match) NamesMembers(answer http.Header) bool {
	return len(answer["Cache-Groups"]) > 0 || slices.ContainsFunc(m.Route.tagHeaders(), func(name string) bool { return len(answer[name]) > 0 })
}

// StripTags takes the fields that list tags off what a client gets. Cache-Tag stays, for caches on the way that purge by it.
func (r *Route) StripTags(h http.Header) {
	for _, name := range r.tagHeaders() {
		if name != "Cache-Tag" {
			delete(h, name)
		}
	}
}

func (r *Route) tagHeaders() []string {
	if r.TagHeaders == nil {
		return knownTagHeaders
	}
	return r.TagHeaders
}

// URLMembers are what an invalidation of one URL names, so that it meets the members of its copies: the path raw, the
// query as forwarded. With an empty host it meets the copies of every host. Equivalent escapes name the same URL.
// Table.URLMembers also applies the query rules of the route.
func URLMembers(host, path, query string, hasQuery bool) []Member {
	return purgedAs.url(httpcache.Target{Host: host, Path: path, Query: query, HasQuery: hasQuery})
}

// PathMembers are what an invalidation of a path with every query names. With an empty host it meets every host.
func PathMembers(host, path string) []Member {
	return purgedAs.path(host, path)
}

// PrefixMembers are what an invalidation of a path and everything below it names. A prefix ends at a segment: /a meets
// /a, /a/ and /a/b, not /ab. A trailing slash makes no difference; "/" and "" are everything of the host, or of every
// host when that is empty.
func PrefixMembers(host, path string) []Member {
	return purgedAs.prefix(host, path)
}

// hostNaming is a list of texts that are named beside a host, for copies that do not belong to the host that a client has named.
type hostNaming []string

var (
	// askedAs is for writes: it names the copies that clients of the host may get.
	askedAs = hostNaming{sharedHost}
	// purgedAs is for purges and configured invalidations: it names all copies that an operator may mean by the host.
	purgedAs = hostNaming{sharedHost, purgedHost}
)

// members names a member for a host; empty: for every host.
func (n hostNaming) members(host string, name func(string) Member) []Member {
	if host == "" {
		return []Member{name("")}
	}
	members := append(make([]Member, 0, 1+len(n)), name(memberHost(host)))
	for _, other := range n {
		members = append(members, name(other))
	}
	return members
}

// url are what an invalidation of one URL names.
func (n hostNaming) url(t httpcache.Target) []Member {
	path := memberPath(t.Path)
	return n.members(t.Host, func(host string) Member { return urlMember(host, path, t.Query, t.HasQuery) })
}

func (n hostNaming) path(host, path string) []Member {
	path = memberPath(path)
	return n.members(host, func(host string) Member { return NewMember(KindPath, host+path) })
}

func (n hostNaming) prefix(host, path string) []Member {
	path = strings.TrimRight(memberPath(path), "/")
	members := n.members(host, func(host string) Member { return NewMember(KindPrefix, host+path) })
	if host != "" && path == "" {
		members = append(members, hostOfSeveral(memberHost(host)))
	}
	return members
}

// urlMember is the KindURL of a canonical path.
func urlMember(host, path, query string, hasQuery bool) Member {
	if hasQuery {
		path += "?" + httpcache.CanonicalQuery(query)
	}
	return NewMember(KindURL, host+path)
}

// memberHost is a host as members name it, without the dot of the root. The port is left out: at most that makes more unusable than was asked.
func memberHost(host string) string {
	return strings.ToLower(strings.TrimSuffix(httpcache.HostOnly(host), "."))
}

// memberPath is a path as members name it. It always begins with a slash, so that none is taken for a host.
func memberPath(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return httpcache.CanonicalPath(path)
}
