package proxy

import (
	"fmt"
	"net/http"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// bypass names the fields, parameters or cookies because of which a request went past the cache. The zero value has no
// names.
type bypass struct {
	kind  string // one of observe.KindHeader, KindQuery and KindCookie; empty: none
	names []string
}

// bypassFor returns the names because of which the request goes past the cache, if why is a reason with names.
func (rq *request) bypassFor(why policy.Reason) bypass {
	headers, parameters, cookies := rq.route.BypassedFor(why, rq.asked(), rq.route.Selecting())
	for _, b := range [...]bypass{{observe.KindHeader, headers}, {observe.KindQuery, parameters}, {observe.KindCookie, cookies}} {
		if len(b.names) > 0 {
			return b
		}
	}
	return bypass{}
}

// passUnlisted passes a request of an observed route that goes past the cache because of unlisted header fields, and
// compares the answer of the origin with the copy for requests without these fields. The comparison shows operators
// whether the fields may be ignored. The answer may depend on the fields, and so is not stored.
func (ex *exchange) passUnlisted(d *decision) {
	o := withoutUnlisted(ex)
	if o == nil {
		ex.pass(d.reason)
		return
	}
	defer func() {
		if o.answered && (o.compared || o.body != nil && o.body.over) && !(!o.same && (o.invalidated() || o.recoded())) {
			ex.route.Metrics.Compared(ex.bypass.kind, ex.bypass.names, !o.same)
		}
	}()
	ex.passAnswered(d.reason, o.onAnswer)
}

// withoutUnlisted is the comparison with the copy that would answer the request without its unlisted fields; nil: no
// such copy is fresh, or the request cannot be compared.
func withoutUnlisted(ex *exchange) *observation {
	rq := &ex.request
	query, why := rq.route.Query.Apply(rq.target.Query)
	if why != policy.NoReason || rq.r.Method != http.MethodGet || len(rq.r.Header["Range"]) > 0 {
		return nil
	}
	asked := rq.query
	rq.query = query
	rq.key, rq.url = rq.appendKey(rq.key[:0], rq.r.Header, true)
	found := ex.p.find(rq, ex.start)
	rq.query, rq.key = asked, rq.key[:0] // a passed request has the query of the client, and no key
	if found.use < httpcache.Fresh {
		return nil
	}
	return &observation{ex: ex, found: found, would: true, token: ex.p.ledger.Token(), requested: time.Now()}
}

// bypassText names a field, parameter or cookie because of which requests of the route went past the cache, with the
// number of these requests and the result of comparing their answers.
func bypassText(b observe.Bypass) string {
	text := fmt.Sprintf("%s %s: %d requests", b.Kind, b.Name, b.Requests)
	if compared := b.Same + b.Differed; compared > 0 {
		if text += fmt.Sprintf(", %d of %d compared answers differed", b.Differed, compared); b.Differed == 0 {
			text += ": a candidate for ignore_headers"
		}
	}
	return text
}
