package fill

import (
	"net/http"
	"slices"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// maxPairs is with how many others a new copy is compared.
const maxPairs = 8

// amongVariants notes a new copy among those of its URL that differ in what clients prefer, and compares it with others of these: where
// copies that differ in one field alone keep coming out the same, the answer does not depend on that, and it costs hits. Copies are
// compared that Vary tells apart by nothing, or by what the header selects that has fetched the new one.
func (f *Filler) amongVariants(q *Request, selection http.Header, copied *store.Copy) {
	if len(q.URLKey) == len(q.Key) {
		return
	}
	keys := f.store.Preferred(q.URLKey, q.Key, copied)
	if len(keys) == 1 {
		return // its own
	}
	fields := q.Route.Prefers.Preferences
	mine := fields.Split(q.Key[len(q.URLKey):])
	now, pairs := time.Now(), 0
	for i := len(keys) - 1; i >= 0 && pairs < maxPairs; i-- {
		field := theOther(fields, mine, fields.Split(keys[i][len(q.URLKey):]))
		if field == "" {
			continue
		}
		found := f.store.Lookup(keys[i], selection, now)
		if other := found.Copy; other != nil && slices.Equal(other.Vary(), copied.Vary()) && !slices.Contains(copied.Vary(), field) {
			if use, _ := other.Usable(f.ledger, now); use == httpcache.Fresh {
				q.Route.Metrics.Preferred(field, other.Digest != copied.Digest || len(copied.Telling(other.Header())) > 0)
				pairs++
			}
		}
		found.Release()
	}
}

// theOther is the one field in which two lists of what is preferred differ; empty: there are more, or none.
func theOther(fields, a, b []string) (field string) {
	if len(a) != len(fields) || len(b) != len(fields) {
		return ""
	}
	for i, name := range fields {
		if a[i] == b[i] {
			continue
		}
		if field != "" {
			return ""
		}
		field = name
	}
	return field
}
