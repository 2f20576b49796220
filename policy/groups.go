package policy

import (
	"net/http"
	"strings"

	"github.com/dunglas/httpsfv"
)

// groupMembers are the cache groups that a field names, Cache-Groups on a copy or Cache-Group-Invalidation on the answer
// to a write (RFC 9875 §2, §3). A group belongs to an origin: scheme, host and port. A host of "*" stands for all that
// share copies.
func groupMembers(scheme, host string, lines []string) (members []Member) {
	for _, group := range groups(lines) {
		members = append(members, NewMember(KindGroup, groupOrigin(scheme, host)+" "+group))
	}
	return members
}

// groups reads a list of strings. Parameters say nothing; a list that is malformed or holds something else is ignored
// whole (RFC 9651 §4.2).
func groups(lines []string) (names []string) {
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil {
		return nil
	}
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok {
			return nil
		}
		name, ok := item.Value.(string)
		if !ok {
			return nil
		}
		names = append(names, name)
	}
	return names
}

func groupOrigin(scheme, host string) string {
	if host == sharedHost {
		return sharedHost
	}
	scheme = strings.ToLower(scheme)
	return scheme + "://" + strings.ToLower(withPort(scheme, host))
}

// groupEffects are the groups that the answer to a write to t says have changed. Copies that all hosts share are copies
// of this host too.
func groupEffects(t Target, response http.Header) []Member {
	lines := response["Cache-Group-Invalidation"]
	return append(groupMembers(t.Scheme, t.Host, lines), groupMembers(t.Scheme, sharedHost, lines)...)
}
