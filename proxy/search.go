package proxy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// searched ends the keys that the queries of a path share. No key is the beginning of another.
const searched = 's'

// pathKey is the storage key of a request without its query.
func (r *route) pathKey(t httpcache.Target, h http.Header) string {
	t.Query, t.HasQuery = "", false
	return string(append(r.AppendKey(nil, t, r.keyedHost(t.Host), "", h), searched))
}

// alias lets other queries find the copy that their No-Vary-Search says is theirs too.
func (c *call) alias(copied *store.Copy) {
	lines := copied.Values(httpcache.NoVarySearch)
	if c.q.content != nil {
		return // its key is not one of a query
	}
	if v := httpcache.ParseSearchVariance(lines); !v.Varies() {
		c.p.store.PutAlias(c.q.route.pathKey(c.q.target, c.q.header), c.q.key, c.q.query, v)
	}
}
