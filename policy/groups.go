package policy

import (
	"net/http"
	"strings"

	"cacheproxy/policy/httpcache"
)

// groupMembers are the cache groups of an origin that a field names, Cache-Groups on a copy or Cache-Group-Invalidation on the answer
// to a write (RFC 9875 §2, §3).
func groupMembers(origin string, lines []string) (members []Member) {
	for _, group := range httpcache.Groups(lines) {
		members = append(members, NewMember(KindGroup, origin+" "+group))
	}
	return members
}

// upstreamHost is the host, in members, of copies from an API with a Host of its own: the origin that the API believes to be, with its port, and so the
// origin whose groups it can name. The literal is part of the route's fingerprint, so that no copy outlives a change of it.
func upstreamHost(literal string) string { return sharedHost + strings.ToLower(literal) }

// groupEffects returns the members of the groups that the answer to a write to t says have changed. literal is the API's own Host; empty: it gets the
// client's. The groups are those of the origin that the client has named (RFC 9875 §2: scheme, host and port), and those of the API's own host. If there
// are more groups than a copy can have, all copies of the host are named instead: a header has room for a hundred thousand groups, and one API must not
// take the ledger's memory from others.
//
// before are the members by which older versions of this program know these copies; see Order.Older of package invalidation.
func groupEffects(literal string, t httpcache.Target, response http.Header) (members, before []Member) {
	lines := response["Cache-Group-Invalidation"]
	if len(httpcache.Groups(lines)) > maxNames {
		members = append(members, NewMember(KindPrefix, memberHost(t.Host)))
		if literal != "" {
			members = append(members, NewMember(KindPrefix, upstreamHost(literal)))
		}
		return members, []Member{NewMember(KindPrefix, sharedHost)}
	}
	members = groupMembers(httpcache.Origin(t.Scheme, t.Host), lines)
	if literal != "" {
		members = append(members, groupMembers(upstreamHost(literal), lines)...)
	}
	return members, groupMembers(sharedHost, lines)
}
