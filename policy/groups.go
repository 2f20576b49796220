package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// groupMembers are the cache groups that a field names, Cache-Groups on a copy or Cache-Group-Invalidation on the answer
// to a write (RFC 9875 §2, §3). A group belongs to an origin: scheme, host and port. A host of "*" stands for all that
// share copies.
func groupMembers(scheme, host string, lines []string) (members []Member) {
	for _, group := range httpcache.Groups(lines) {
		members = append(members, NewMember(KindGroup, groupOrigin(scheme, host)+" "+group))
	}
	return members
}

func groupOrigin(scheme, host string) string {
	if host == sharedHost {
		return sharedHost
	}
	return httpcache.Origin(scheme, host)
}

// groupEffects are the groups that the answer to a write to t says have changed. Copies that all hosts share are copies
// of this host too. With more groups than a copy can have, all copies of the host are named instead: they are a few names to remember,
// where a header has room for a hundred thousand, and what one API says must not cost others the place for their own.
func groupEffects(t httpcache.Target, response http.Header) []Member {
	lines := response["Cache-Group-Invalidation"]
	if len(httpcache.Groups(lines)) > maxNames {
		return PrefixMembers(t.Host, "/")
	}
	return append(groupMembers(t.Scheme, t.Host, lines), groupMembers(t.Scheme, sharedHost, lines)...)
}
