package fill

import (
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// alias lets requests with other queries find the copy, if the copy's No-Vary-Search says that the copy answers them
// too.
func (f *Filler) alias(q *Request, copied *store.Copy) {
	if q.Content != nil {
		return // the key of a request with content belongs to no query
	}
	if v := httpcache.ParseSearchVariance(copied.Values(httpcache.NoVarySearch)); !v.Varies() {
		f.store.PutAlias(q.Route.PathKey(q.Target, q.Header), q.Key, q.Query, v)
	}
}
