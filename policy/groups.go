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

// upstreamHost stands in members for the host of copies from an API that is sent a Host of its own: that is the origin which the API
// takes itself for, with its port, and so the one whose groups it can name. It is part of the route's fingerprint, so that no copy
// outlives it.
func upstreamHost(literal string) string { return sharedHost + strings.ToLower(literal) }

// groupEffects are the groups that the answer to a write to t says have changed, of an API that is sent literal as its Host, or the client's where that is empty: those of the origin that the client has
// named (RFC 9875 §2: scheme, host and port), and of the one that the API takes itself for, where it is sent a Host of its own. With more
// groups than a copy can have, all copies of the host are named instead: they are a few names to remember, where a header has room
// for a hundred thousand, and what one API says must not cost others the place for their own.
//
// Before has the names by which versions know these copies that have one name for the groups of all such APIs; see Order.Older of
// package invalidation.
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
