package policy

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Copies of routes whose upstream is sent a Host of its own do not belong to the host that a client names. Their
// members have one of these names in place of the host, which the Host of a request can never be.
const (
	// sharedHost stands for all hosts, for a copy that any host may ask for.
	sharedHost = "*"
	// purgedHost stands for all hosts in purges by order: the host of such a copy may be named by a client, by the API,
	// or by the author of the order.
	purgedHost = "**"
)

// memberSet collects members in order, without duplicates.
type memberSet struct {
	list []Member
	seen map[Member]bool // index of a list longer than fewMembers; nil: has searches the list
	tags int             // how many of the list are tags of the response
}

// excessive reports whether the copy has too many members to be stored, so that further ones need not be collected.
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

// fewMembers is up to how many members has compares one by one: a search is faster than a map, and most copies have no
// more.
const fewMembers = 16

func (s *memberSet) addNames(kind MemberKind, names []string) {
	for _, name := range names {
		s.add(NewMember(kind, name))
	}
}

// Members are the names under which the copy of an answer can be made unusable: everything, the route, the key, the
// tags of the route and of the answer, the answer's cache groups, the URL, the path, and every prefix of the path.
// query is the forwarded one, h the request's header. If a slash or a backslash is escaped in the path, the copy also
// has the names of the path with plain slashes. An origin that decodes the path first has answered for that path, and a
// client that writes or purges it does not know how others have spelt it. The result may have more than MaxMembers,
// some of them empty; such a copy must not be stored.
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
		// Some members are unknown, or there are too many: empty members make the list too long for the copy to be
		// stored.
		s.list = append(s.list, make([]Member, max(0, MaxMembers+1-len(s.list)))...)
	}
	return s.list
}

// hostOfSeveral names everything of a host on copies that several hosts may ask for. The plain prefix member of a host
// marks copies of that host alone; invalidations by Table.Wider spare them by that member.
func hostOfSeveral(host string) Member { return NewMember(KindPrefix, host+"//") }

// askedHosts are the hosts whose clients may ask for a copy of a route whose upstream is sent a Host of its own. Writes
// at these hosts concern the copy. They are the hosts of the route's patterns, so that a write at the host of one API
// leaves the copies alone that another API has under the same path at its own host. A copy that any host may ask for
// bears sharedHost, which every write names as well. A write does not know the routes of another configuration for its
// URL, so a copy has to bear each name that a write to one of its URLs can have.
//
// For each host a copy has as many members as the path has segments. Beyond a few hosts they are not worth the memory,
// and sharedHost stands for all of them.
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

// names are the names that the template of a key gives. A value that the request lacks is empty in them, for copies and
// for invalidations alike.
func (t Template) names(v Values) ([]string, error) {
	if t.Zero() {
		return nil, nil
	}
	names, _, err := t.render(v, nil, nameForm)
	return names, err
}

// addPath adds the URL of a canonical path, the path, and its prefixes. The members share the memory of one string.
func (s *memberSet) addPath(host, path string, t httpcache.Target) {
	all, length := Member(string(KindURL)+host+path+string(KindPath)+host+path+string(KindPrefix)+host+path), len(host)+len(path)+1
	url := all[:length]
	if t.HasQuery {
		url = urlMember(host, path, t.Query, true)
	}
	s.add(url, all[length:2*length])
	s.addPrefixes(all[2*length:], len(host)+1)
}

// addPrefixes adds a prefix without trailing slash and all of its ancestors down to the root. root is the length of the
// root.
func (s *memberSet) addPrefixes(whole Member, root int) {
	for len(whole) > root && whole[len(whole)-1] == '/' {
		whole = whole[:len(whole)-1]
	}
	// Each prefix costs the length of the path. Once the copy has too many members, further ones change nothing.
	for i := root; i < len(whole) && !s.excessive(); i++ {
		if whole[i] == '/' {
			s.add(whole[:i])
		}
	}
	s.add(whole[:root], whole)
}

// knownTagHeaders are the fields in which responses list tags where a route names none, by their canonical names.
var knownTagHeaders = []string{"Surrogate-Key", "Xkey", "Cache-Tag", "Cache-Tags", "X-Cache-Tags", "X-Magento-Tags"}

// responseTags are the tags in these fields of an answer. Each field is read so that the purge calls for that field
// name the same tags. The keys of Surrogate-Key stand between spaces, those of xkey between spaces or commas, and the
// tags of Cache-Tag and X-Magento-Tags between commas. The tags of the other fields stand between commas or spaces; a
// tag with a space also counts as a whole. A key of Surrogate-Key with commas counts as a whole and in its parts.
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

// NamesMembers reports whether the header of an answer on the route names members of its copy. Members of any other
// answer do not depend on its header.
func (m *Match) NamesMembers(answer http.Header) bool {
	return len(answer["Cache-Groups"]) > 0 || slices.ContainsFunc(m.Route.tagHeaders(), func(name string) bool { return len(answer[name]) > 0 })
}

// StripTags removes the fields that list tags from a client's header. Cache-Tag stays, for caches on the way that purge
// by it.
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

// URLMembers are the members that an invalidation of one URL names, so that it matches the members of its copies. The
// path is raw, the query is the forwarded one. An empty host matches the copies of every host. Equivalent escapes name
// the same URL. Table.URLMembers also applies the query rules of the routes.
func URLMembers(host, path, query string, hasQuery bool) []Member {
	return purgedAs.url(httpcache.Target{Host: host, Path: path, Query: query, HasQuery: hasQuery})
}

// PathMembers are the members that an invalidation of a path with every query names. An empty host matches every host.
func PathMembers(host, path string) []Member {
	return purgedAs.path(host, path)
}

// PrefixMembers are the members that an invalidation of a path and everything below it names. A prefix ends at a
// segment: /a matches /a, /a/ and /a/b, not /ab. A trailing slash makes no difference. "/" and "" match everything of
// the host, or of every host where host is empty.
func PrefixMembers(host, path string) []Member {
	return purgedAs.prefix(host, path)
}

// hostNaming are the names to add to a host, for the copies that do not belong to the host that a client has named.
type hostNaming []string

var (
	// askedAs also names the copies that clients of any host may ask for: a write to one of their URLs makes them
	// unusable.
	askedAs = hostNaming{sharedHost}
	// purgedAs also names all copies that the author of an order may mean by the host.
	purgedAs = hostNaming{sharedHost, purgedHost}
)

// members makes a member for a host and for each added name. An empty host stands for every host.
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

// url are the members that an invalidation of one URL names.
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

// memberHost is a host in the form of members, without the dot of the root. The form has no port, so an invalidation
// may reach other ports too.
func memberHost(host string) string {
	return strings.ToLower(strings.TrimSuffix(httpcache.HostOnly(host), "."))
}

// memberPath is a path in the form of members. It always begins with a slash, so that no path is taken for a host.
func memberPath(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return httpcache.CanonicalPath(path)
}
