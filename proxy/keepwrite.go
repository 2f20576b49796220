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

// keep stores the answer to a write as the new copy of the write's target. The route must ask for such copies, the
// answer must say that its content represents the target (RFC 9110 §8.7), and no member of the copy may have been
// invalidated since the write was sent.
//
// The copy is stamped with the end of the write. With an earlier stamp, the end itself, which names the copy's own URL,
// would make the copy unusable. Each use of a copy checks for invalidations after the stamp. That check covers
// invalidations after the end, whether before or after the copy is stored. Invalidations before the end, while the
// write was at the origin, have to be checked for here (overtaken).
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
	// A copy that varies belongs to the header of a read, and a write has no such header.
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

// asksAsFill reports whether the write has told the origin nothing that a fill for the same target would not tell.
// Otherwise the origin may have chosen the answer by something that no key holds, and the answer is not for everybody.
// A write sends the client's Host even if the Host is not keyed, and may send trailer fields; a fill sends neither.
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

// overtaken reports whether a member of the answer's copy was invalidated between w.before, when the write was sent,
// and the write's end. The origin may have changed the resource once more after writing the answer. A purge of that
// change has been acknowledged, and a copy of the answer would undo the purge.
//
// For the members that the end names, the ledger cannot tell: the end's own marks have replaced earlier marks. The log
// has compared the earlier marks in the same step in which the log appended the end (Receipt.Exclusive). On all other
// members (the route, prefixes of the path, tags of the answer, everything) the end has set no mark, so that a mark
// later than w.before comes from another invalidation.
//
// overtaken asks the ledger after the end, which leaves no gap: an invalidation between the question and the storing of
// the copy is later than the copy's stamp.
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
