package proxy

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// observedMark follows the storage key proper in keys of copies that observed routes store. See appendKey.
const observedMark = 'o'

// observation compares, for one request of an observed route, the answer that a copy would have given with the origin's
// answer.
type observation struct {
	ex        *exchange
	found     candidate
	would     bool // with mode on, the copy would have answered
	renewed   bool // with mode on, the copy would also have been renewed
	token     invalidation.Token
	requested time.Time

	answered bool // the head of the origin's answer has come
	compared bool // the part of the answer that is compared has come, and same is set
	same     bool
	code     int
	header   http.Header
	body     *capture // nil: the answer has no body to compare
}

// observe passes the request to the origin, and compares the answer with the copy that would have been served.
func (ex *exchange) observe(d *decision) {
	o := &observation{ex: ex, found: d.found, would: d.found.use >= httpcache.StaleServable}
	if o.would {
		// The read counts as if the copy had answered. With mode on, the read might also have had the copy renewed in
		// the background.
		o.renewed = d.found.use == httpcache.StaleServable || ex.ahead(d.found.Copy, ex.start)
		d.found.Copy.Use.Hit(ex.start)
	}
	o.token, o.requested = ex.p.ledger.Token(), time.Now()
	defer o.conclude()
	status := d.status(ex.start)
	ex.through(passage{status: &status, answered: o.onAnswer})
}

// onAnswer compares the head of the origin's answer, and wraps the body, which is compared when all of the body has
// been sent.
func (o *observation) onAnswer(res *http.Response) error {
	ex := o.ex
	o.answered, o.code, o.header = true, res.StatusCode, res.Header.Clone()
	if o.would {
		o.withheld()
	}
	if o.would && o.code == http.StatusNotModified {
		o.compared, o.same = true, httpcache.ConfirmsStored(o.found.Copy.Header(), o.header)
		return nil
	}
	if ex.r.Method == http.MethodHead {
		o.compared = true
		o.same = o.would && o.code == o.found.Copy.Status() && o.header.Get("Etag") == o.found.Copy.Get("Etag")
		return nil
	}
	verdict := ex.route.Judge(policy.Fetch{
		Method: ex.semantics(), Requested: o.requested, Received: time.Now(), Status: o.code, Header: o.header,
		BodyLength: res.ContentLength, MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(), Through: true,
		Forwarded: ex.selection(ex.selecting(o.found)), Selected: ex.selecting(o.found),
	})
	if !o.would && verdict.Store {
		o.withheld()
	}
	o.body = ex.capture(res.Body, func(body []byte) {
		o.compared = true
		o.same = o.would && store.Digest(o.code, body) == o.found.Copy.Digest && len(o.found.Copy.Telling(o.header)) == 0
		// With mode on, a copy that answers stays in the store. The copy stays here too, so that later comparisons are
		// realistic.
		if verdict.Store && (!o.would || o.renewed) {
			a := fill.NewAnswer(ex.fillRequest(o.found, upstream.Fill, ex.span), o.code, o.header, verdict, o.token, ex.start)
			a.Selection, a.Observed = ex.r.Header, true
			ex.p.fills.Store(a, body)
		}
	})
	res.Body = o.body
	return nil
}

// conclude counts and logs the result of the comparison. There is no result if the client left or the origin broke off
// before the answer was complete, or if there was no memory for the comparison. Nor is a difference a result if the
// copy was invalidated while the origin was answering, since both answers may be right, or if the origin chose another
// coding (recoded).
func (o *observation) conclude() {
	ex := o.ex
	if !o.answered {
		return
	}
	if o.body != nil && o.body.over {
		o.compared = true // no copy is that long
	}
	if o.body != nil && o.body.full {
		ex.route.Metrics.NotStored(policy.MemoryFull)
	}
	switch {
	case !o.would:
	case !o.compared:
		why := policy.Incomplete
		switch {
		case o.body != nil && o.body.full:
			why = policy.MemoryFull
		case ex.r.Context().Err() != nil:
			why = policy.ClientGone
		}
		ex.broke(why)
		return
	case o.same:
		ex.compared(policy.WouldHit)
	case o.invalidated():
		ex.broke(policy.Outdated)
		return
	case o.recoded():
		return
	default:
		ex.compared(policy.WouldDiffer)
		o.tell()
	}
	ex.route.Metrics.Observed(ex.origin, ex.finalOutcome() == policy.WouldHit)
}

// invalidated reports whether the copy has become less usable since the look-up.
func (o *observation) invalidated() bool {
	now, _ := o.found.Copy.Usable(o.ex.p.ledger, o.ex.start)
	return now < o.found.use
}

// recoded reports whether the origin has chosen another coding than the copy has. Both requests accept the same
// codings. So the origin has chosen by the client's weights, which fills do not forward.
func (o *observation) recoded() bool {
	c := o.found.Copy
	return slices.Contains(c.Vary(), "Accept-Encoding") && c.Get("Content-Encoding") != o.header.Get("Content-Encoding")
}
