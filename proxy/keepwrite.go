package proxy

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
)

// keep stores the answer to a write as the new copy of its target, where the route asks for it, the answer says that it is
// one (RFC 9110 §8.7), and nothing that the copy belongs to was invalidated since the write was sent.
//
// The copy is stamped with the end of the write. An earlier stamp would not do: the end names the copy's own URL, and would
// make the copy unusable. So the ledger's question at every use, whether anything was invalidated since the stamp, covers what
// comes after the end, before the copy is stored or later; what came before it, while the write was at the origin, has to be
// asked for here.
func (w *writing) keep(res *http.Response) {
	ex := w.ex
	if w.receipt.Position == 0 || !ex.route.KeepsResponse(ex.r.Method, ex.target, res.StatusCode, res.Header) {
		return
	}
	if !ex.asksAsFill() {
		return
	}
	ex.key, ex.url = ex.appendKey(ex.key[:0], ex.r.Header, false)
	header, token := res.Header.Clone(), w.receipt.Token()
	verdict := ex.route.Judge(policy.Fetch{
		Method: http.MethodGet, Requested: ex.start, Received: time.Now(), Status: http.StatusOK, Header: header,
		BodyLength: res.ContentLength, MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(), Through: true,
		Forwarded: ex.selection(ex.route.Selecting()), Selected: ex.route.Selecting(),
	})
	// A copy that varies belongs to a read's header, which a write does not have.
	if !verdict.Store || len(verdict.Vary) > 0 {
		return
	}
	if w.overtaken(header) {
		ex.route.Metrics.NotStored(policy.Outdated)
		return
	}
	res.Body = ex.capture(res.Body, func(body []byte) {
		a := fill.NewAnswer(ex.fillRequest(candidate{}, upstream.Fill, ex.span), http.StatusOK, header, verdict, token, ex.start)
		a.EndOfWrite = true
		ex.p.fills.Store(a, body)
	})
}

// asksAsFill reports whether a fill for the write's target would have told the origin what the write told it. Any other answer
// is not one for everybody: the origin may have gone by what no key holds. A Host that is not keyed is told with a write and not
// with a fill; fields may also follow the content.
func (rq *request) asksAsFill() bool {
	query, reason := rq.route.Query.Apply(rq.target.Query)
	whole := reason == policy.NoReason && rq.target.WithQuery(query) == rq.target
	h := rq.r.Header
	if !whole || rq.route.Host.Literal != "" || len(rq.r.Trailer) > 0 || len(h["Cache-Control"]) > 0 || len(h["Pragma"]) > 0 {
		return false
	}
	rq.query = query
	return rq.route.AsksAsFill(h, rq.route.Selecting()) && !rq.route.SaysWho(h)
}

// overtaken reports whether something that the answer's copy belongs to was invalidated after the write was sent and before
// its end. The origin may have changed it once more after it wrote the answer: a purge that came meanwhile was acknowledged
// for good, and the copy would bring back what it had ended.
//
// Of the members that the end has named, the marks of what came before are gone: the end's own stand in their place. The log
// itself has looked at them, in one step with the end. On all others (the route, prefixes of the path, tags of the answer,
// everything) the end has left no mark, so that whatever came stands there still, and comes later than before. Asking after
// the end, and not before it, leaves no gap: what is invalidated between this question and the copy's storing comes after the
// stamp.
func (w *writing) overtaken(answer http.Header) bool {
	ex := w.ex
	if !w.receipt.Exclusive(w.before) {
		return true
	}
	named := invalidation.IDsOf(w.named)
	members := ex.route.Members(&ex.match, ex.target, ex.query, ex.r.Header, answer)
	others := slices.DeleteFunc(invalidation.IDsOf(members), func(id invalidation.ID) bool {
		_, found := slices.BinarySearch(named, id)
		return found
	})
	return ex.p.ledger.Since(w.before, others)
}
