package proxy

import (
	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// searched finds a fresh copy of another query of the path that answers this one too; nil: there is none. What made this
// request's own URL unusable makes that copy unusable for it.
func (ex *exchange) searched() *candidate {
	if ex.content != nil || ex.trust == uninformed {
		return nil
	}
	var known []invalidation.ID
	for found := range ex.p.store.Aliases(ex.route.PathKey(ex.target, ex.r.Header), ex.query, ex.r.Header, ex.start) {
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
