package policy

import (
	"net/http"
	"strings"

	"cacheproxy/policy/httpcache"
)

// groupMembers are the members for the cache groups of an origin in the lines of a field: Cache-Groups on a copy, or
// Cache-Group-Invalidation on the answer to a write (RFC 9875 §2, §3).
func groupMembers(origin string, lines []string) (members []Member) {
	for _, group := range httpcache.Groups(lines) {
		members = append(members, NewMember(KindGroup, origin+" "+group))
	}
	return members
}

// upstreamHost stands in members for the host of copies from an API that is sent a Host of its own. The API takes
// itself for that origin, port included, and so can only name groups of that origin. literal is part of the route's
// fingerprint, so that no copy outlives a change of it.
func upstreamHost(literal string) string { return sharedHost + strings.ToLower(literal) }

// groupEffects are the members for the groups that have changed by the answer to a write to t. literal is the Host that
// the API is sent, or empty where the API is sent the client's. The groups are those of the origin that the client has
// named (RFC 9875 §2: scheme, host and port), and of the origin that the API takes itself for, where literal is not
// empty. If the answer names more groups than a copy can have, groupEffects names all copies of the host instead. A
// header has room for a hundred thousand groups, and one API must not fill the ledger at the cost of others' names.
//
// before has the names by which older versions know these copies. Those versions have one name for the groups of all
// such APIs; see Order.Older of package invalidation.
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
