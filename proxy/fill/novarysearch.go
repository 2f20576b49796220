package fill

import (
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// alias lets other queries find the copy that their No-Vary-Search says is theirs too.
func (f *Filler) alias(q *Request, copied *store.Copy) {
	if q.Content != nil {
		return // its key is not one of a query
	}
	if v := httpcache.ParseSearchVariance(copied.Values(httpcache.NoVarySearch)); !v.Varies() {
		f.store.PutAlias(q.Route.PathKey(q.Target, q.Header), q.Key, q.Query, v)
	}
}
