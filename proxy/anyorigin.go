package proxy

import "cacheproxy/policy"

// anyOrigin finds a fresh copy that was fetched for a request without Origin and is for every one by its own word; nil: there
// is none.
func (ex *exchange) anyOrigin() *candidate {
	header, ok := ex.route.WithoutOrigin(ex.r.Header)
	if !ok || ex.trust == uninformed {
		return nil
	}
	found := ex.p.store.Lookup(string(ex.appendKey(nil, header)), header, ex.start, ex.route.SelectingUnlisted()...)
	if found.Copy == nil || !policy.AnyOrigin(found.Copy.Header()) {
		return nil
	}
	if use, _ := ex.judge(found.Copy, ex.start); use != policy.Fresh {
		return nil
	}
	return &candidate{Found: found, use: policy.Fresh, other: true}
}
