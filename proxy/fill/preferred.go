package fill

import (
	"net/http"
	"slices"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// maxPairs bounds with how many other copies a new copy is compared.
const maxPairs = 8

// amongVariants notes a new copy among the copies of its URL that are kept apart by the preferences of clients, and
// compares the new copy with some of these. Copies that differ in one preference field alone may turn out equal again
// and again. Then the answer does not depend on that field, and operators can see that keeping the copies apart only
// costs hits. Only copies that the new copy's request would select by Vary are compared.
func (f *Filler) amongVariants(q *Request, selection http.Header, copied *store.Copy) {
	if len(q.URLKey) == len(q.Key) {
		return
	}
	keys := f.store.Preferred(q.URLKey, q.Key, copied)
	if len(keys) == 1 {
		return // the new copy's own key
	}
	fields := q.Route.Prefers.Preferences
	mine := fields.Split(q.Key[len(q.URLKey):])
	now, pairs := time.Now(), 0
	for i := len(keys) - 1; i >= 0 && pairs < maxPairs; i-- {
		field := soleDifference(fields, mine, fields.Split(keys[i][len(q.URLKey):]))
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

// soleDifference is the field in which two lists of preferences differ; empty: they differ in no field, or in
// several.
func soleDifference(fields, a, b []string) (field string) {
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
