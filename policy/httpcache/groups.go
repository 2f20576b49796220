package httpcache

import (
	"github.com/dunglas/httpsfv"
)

// Groups reads the groups of a field: Cache-Groups on a copy, or Cache-Group-Invalidation on the answer to a write (RFC
// 9875 §2, §3). The field is a list of strings, whose parameters have no meaning. A list that is malformed or has other
// members is ignored whole (RFC 9651 §4.2).
func Groups(lines []string) (names []string) {
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
