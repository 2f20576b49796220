package proxy

import (
	"net/http"

	"cacheproxy/invalidation"
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

// searched finds a fresh copy of another query of the path that answers this one too; nil: there is none. What made this
// request's own URL unusable makes that copy unusable for it.
func (ex *exchange) searched() *candidate {
	if ex.content != nil || ex.trust == uninformed {
		return nil
	}
	var known []invalidation.ID
	for found := range ex.p.store.Aliases(ex.route.pathKey(ex.target, ex.r.Header), ex.query, ex.r.Header, ex.start) {
		if use, _ := ex.judge(found.Copy, ex.start); use != policy.Fresh {
			continue
		}
		if known == nil {
			known = ex.known()
		}
		if ex.p.ledger.Admits(found.Copy.Stamp.Token(), known) {
			return &candidate{Found: found, use: policy.Fresh, other: true}
		}
	}
	return nil
}
