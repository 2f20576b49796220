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

// candidate is what a look-up found and what it may be used for.
type candidate struct {
	store.Found
	use    httpcache.Freshness // what the copy may be used for
	reason policy.Reason
	// previous is a copy that has expired for good: of no use but to tell whether what comes is different.
	previous *store.Copy
	// shareless is why the last answer to this request was not to be shared, where that decides about the next one; NoReason: nothing
	// is known against sharing it.
	shareless policy.Reason
	lasting   bool // see fill.Filler.Shareless
	looked    bool // there was a look-up
	other     bool // it is the copy of another request, which an origin said makes no difference
	// unusable is a copy that nobody may use any more; nil: there is none such.
	unusable *store.Copy
}

// find looks for the copy of this request and says what it may be used for. It changes nothing but what the request holds. The key
// of what it found may lie in the buffer of the request.
//
// Two kinds of facts are kept apart. Which copy it is, and whether that may answer requests of this kind, follow from the stored
// header and the configuration. Whether it may now follows from the ledger and the clock, in Usable.
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
		// It gives way to what is fetched now; until then every request that asks sees what was there.
		c.Copy, c.previous = nil, c.Copy
	default:
		c.Copy, c.unusable = nil, c.Copy
	}
	return c
}

// lookUp finds the copy of this request, and gives up one that nobody may use any more.
func (p *Proxy) lookUp(rq *request, now time.Time) candidate {
	c := p.find(rq, now)
	p.discard(c)
	return c
}

// discard gives up a copy that nobody may use any more.
func (p *Proxy) discard(c candidate) {
	if c.unusable != nil {
		p.store.Drop(c.Key, c.unusable)
	}
}

// selected is the copy that is stored for a request like this one, which holds it.
func (p *Proxy) selected(rq *request, now time.Time) store.Found {
	key, unlisted := unsafe.String(unsafe.SliceData(rq.key), len(rq.key)), rq.route.SelectingUnlisted()
	found := p.store.Lookup(key, rq.r.Header, now, unlisted...)
	rq.held.keep(found.Copy)
	if found.Copy != nil || found.Variants == nil {
		return found
	}
	// None, perhaps because of a field that no fill forwards, which cannot have selected anything.
	names := found.Variants.Names()
	found = p.store.Lookup(key, rq.selection(names), now, unlisted...)
	rq.held.keep(found.Copy)
	if found.Copy != nil && !selectedBy(found.Copy, names) {
		found.Copy = nil
	}
	return found
}

// selectedBy reports whether names has all fields that tell the copy from others. One that is stored while a request looks for
// it may have more, which the request was not asked for.
func selectedBy(c *store.Copy, names []string) bool {
	for _, name := range c.Vary() {
		if !slices.Contains(names, name) {
			return false
		}
	}
	return true
}

// alike finds a fresh copy of another request that answers this one too, by the origin's word. note says by which; empty: there
// is none.
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

// anyOrigin finds a fresh copy that was fetched for a request without Origin and is for every one by its own word.
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

// searched finds a fresh copy of another query of the path that answers this one too. What made this request's own URL unusable
// makes that copy unusable for it.
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

// fresh is what was found for another request, where it is fresh for this one.
func (p *Proxy) fresh(rq *request, found store.Found, now time.Time) (candidate, bool) {
	c := candidate{Found: found, looked: true, other: true}
	rq.judge(&c, p.ledger, now)
	return c, c.use == httpcache.Fresh
}

// judgedBy is the part of a copy's header by which storing it was decided.
func (r *route) judgedBy(c *store.Copy) http.Header {
	h := make(http.Header, 4)
	for _, name := range append([]string{"Cache-Control", "Pragma"}, r.Targets...) {
		if lines := c.Values(name); lines != nil {
			h[name] = lines
		}
	}
	return h
}
