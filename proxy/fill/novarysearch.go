package fill

import (
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// alias makes the copy found by other queries that it answers too, by its No-Vary-Search.
func (f *Filler) alias(q *Request, copied *store.Copy) {
	if q.Content != nil {
		return // its key is not one of a query
	}
	if v := httpcache.ParseSearchVariance(copied.Values(httpcache.NoVarySearch)); !v.Varies() {
		f.store.PutAlias(q.Route.PathKey(q.Target, q.Header), q.Key, q.Query, v)
	}
}
