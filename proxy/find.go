package proxy

import (
	"net/http"
	"slices"
	"time"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// candidate is the result of a look-up, with the use that the copy may be put to.
type candidate struct {
	store.Found
	use    httpcache.Freshness // the use that the copy may be put to
	reason policy.Reason
	// previous is a copy past all its windows, which serves only to tell whether the next answer differs; nil: there is
	// none.
	previous *store.Copy
	// shareless is the remembered reason why the last answer to this question could not be shared; NoReason: nothing is
	// known against sharing the next answer.
	shareless policy.Reason
	lasting   bool // see fill.Filler.Shareless
	looked    bool // there was a look-up
	other     bool // the copy of another request, which the origin says answers this request too; see alike
	// unusable is a copy that no request may use any more, and that is to be dropped; nil: there is none.
	unusable *store.Copy
}

// find looks for the copy of this request and judges what the copy may be used for. find changes nothing but the
// references that the request holds. The candidate's Key may point into the key buffer of the request.
//
// Two kinds of facts are kept apart. The stored header and the configuration say which copy belongs to the request, and
// whether the copy may answer requests of this kind. The ledger and the clock say, in Usable, whether the copy may be
// used at this moment.
func (p *Proxy) find(rq *request, now time.Time) candidate {
	c := candidate{Found: p.selected(rq, now), looked: true}
	switch {
	case rq.lease == leaseLost:
		c.Copy, c.reason = nil, policy.LeaseLapsed
		return c
	case c.Copy == nil && (c.Variants != nil || c.Unselected || p.store.OtherPreferred(rq.key, rq.url)):
		c.reason = policy.VaryMiss
		return c
	case c.Copy == nil:
		c.reason = policy.URIMiss
		return c
	}
	rq.judge(&c, p.ledger, now)
	switch {
	case rq.personal && !rq.route.AnswersCredentials(rq.route.judgedBy(c.Copy)):
		c.Copy, c.use, c.reason = nil, httpcache.Dead, policy.Authorization
	case c.use != httpcache.Dead || c.reason == policy.Fenced:
	case c.reason == policy.Expired:
		// The copy stays in the store until a fetched answer replaces the copy, so that each fetch until then has a
		// copy to be compared with.
		c.Copy, c.previous = nil, c.Copy
	default:
		c.Copy, c.unusable = nil, c.Copy
	}
	return c
}

// lookUp is find, and also drops a copy that no request may use any more.
func (p *Proxy) lookUp(rq *request, now time.Time) candidate {
	c := p.find(rq, now)
	p.discard(c)
	return c
}

// discard drops the unusable copy of a candidate, if there is one, from the store.
func (p *Proxy) discard(c candidate) {
	if c.unusable != nil {
		p.store.Drop(c.Key, c.unusable)
	}
}

// selected looks up the copy that the request selects. The request holds a reference to the copy.
func (p *Proxy) selected(rq *request, now time.Time) store.Found {
	key, unlisted := unsafe.String(unsafe.SliceData(rq.key), len(rq.key)), rq.route.SelectingUnlisted()
	found := p.store.Lookup(key, rq.r.Header, now, unlisted...)
	rq.held.keep(found.Copy)
	if found.Copy != nil || found.Variants == nil {
		return found
	}
	// The request may have a field that no fill forwards, and that therefore selects nothing. The second look-up leaves
	// such fields out.
	names := found.Variants.Names()
	found = p.store.Lookup(key, rq.selection(names), now, unlisted...)
	rq.held.keep(found.Copy)
	if found.Copy != nil && !selectedBy(found.Copy, names) {
		found.Copy = nil
	}
	return found
}

// selectedBy reports whether names has every field of the copy's Vary. A copy that was stored after names was read may vary by more fields, whose
// values in this request were not compared.
func selectedBy(c *store.Copy, names []string) bool {
	for _, name := range c.Vary() {
		if !slices.Contains(names, name) {
			return false
		}
	}
	return true
}

// alike finds a fresh copy of another request that answers this request too, because a response field of the origin
// says so. note says which field; empty: there is no such copy.
func (p *Proxy) alike(rq *request, now time.Time) (other candidate, note string) {
	if rq.lease == leaseLost {
		return candidate{}, ""
	}
	if c, ok := p.anyOrigin(rq, now); ok {
		return c, "the copy was fetched without Origin, and its Access-Control-Allow-Origin says that it is for every one"
	}
	if c, ok := p.searched(rq, now); ok {
		return c, "the copy is that of another query, which the origin's " + httpcache.NoVarySearch + " says makes no difference"
	}
	return candidate{}, ""
}

// anyOrigin finds a fresh copy that was fetched for a request without Origin, and whose header says that the copy is
// for every Origin.
func (p *Proxy) anyOrigin(rq *request, now time.Time) (candidate, bool) {
	header, ok := rq.route.WithoutOrigin(rq.r.Header)
	if !ok {
		return candidate{}, false
	}
	key, _ := rq.appendKey(nil, header, false)
	found := p.store.Lookup(string(key), header, now, rq.route.SelectingUnlisted()...)
	rq.held.keep(found.Copy)
	if found.Copy == nil || !httpcache.AnyOrigin(found.Copy.Header()) {
		return candidate{}, false
	}
	return p.fresh(rq, found, now)
}

// searched finds a fresh copy of another query of the path that answers this request too, by No-Vary-Search. The URL of
// this request has members that the copy lacks: if one of them was invalidated since the copy was fetched, the copy is
// unusable for this request.
func (p *Proxy) searched(rq *request, now time.Time) (candidate, bool) {
	if rq.content != nil || !p.store.Aliased() {
		return candidate{}, false
	}
	var known []invalidation.ID
	for found := range p.store.Aliases(rq.route.PathKey(rq.target, rq.r.Header), rq.query, rq.r.Header, now) {
		rq.held.keep(found.Copy)
		c, ok := p.fresh(rq, found, now)
		if !ok {
			continue
		}
		if known == nil {
			known = rq.known()
		}
		if p.ledger.Admits(found.Copy.Stamp.Token(), known) {
			return c, true
		}
	}
	return candidate{}, false
}

// fresh judges a copy of another request for this request, and reports whether the copy is fresh.
func (p *Proxy) fresh(rq *request, found store.Found, now time.Time) (candidate, bool) {
	c := candidate{Found: found, looked: true, other: true}
	rq.judge(&c, p.ledger, now)
	return c, c.use == httpcache.Fresh
}

// judgedBy returns the fields of a copy's header that carry cache directives.
func (r *route) judgedBy(c *store.Copy) http.Header {
	h := make(http.Header, 4)
	for _, name := range append([]string{"Cache-Control", "Pragma"}, r.Targets...) {
		if lines := c.Values(name); lines != nil {
			h[name] = lines
		}
	}
	return h
}
