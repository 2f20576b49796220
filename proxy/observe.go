package proxy

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/store"
)

// observed ends the keys of what observed routes store.
const observed = 'o'

// observation is one request of an observed route: what a copy would have answered, and what the origin does.
type observation struct {
	ex        *exchange
	found     candidate
	would     bool // a copy would have answered
	renewed   bool // and would have been renewed
	token     invalidation.Token
	requested time.Time

	answered bool // the head of the origin's answer is there
	compared bool // all of it is, and what follows has a meaning
	same     bool
	status   int
	header   http.Header
	body     *capture // nil: the answer has none to compare
}

// observe lets the origin answer, and compares the answer with what would have been served.
func (ex *exchange) observe() {
	// The origin sees the request as it came, with fields that no key holds. What it answers is compared, and never
	// served: it is kept apart, where no read of another mode looks. No key is the beginning of another.
	ex.key = append(ex.key, observed)
	o := &observation{ex: ex, found: ex.lookup(unsafe.String(unsafe.SliceData(ex.key), len(ex.key)), ex.start)}
	o.would = o.found.use >= whileFresh
	if o.would {
		o.renewed = ex.renews(o.found)
		// Cache-Status goes out with the head, before the last byte has been compared.
		ex.status.Outcome, ex.status.Detail = policy.Pass, policy.Observe.String()
	} else {
		ex.status.Outcome = policy.WouldMiss
	}
	ex.status.Reason = o.found.reason
	o.token, o.requested = ex.p.ledger.Token(), time.Now()
	defer o.conclude()
	ex.through(passage{answered: o.answer})
}

// renews counts a read of a copy and reports whether it would have had the copy renewed in the background.
func (ex *exchange) renews(found candidate) bool {
	n := found.Copy.Use.Hit()
	return found.use == whileFresh || ex.route.RenewsAhead && int(n) >= ex.route.MinHits && ex.due(found.Copy)
}

// answer looks at the head of the origin's answer, and has its body compared as it goes by.
func (o *observation) answer(res *http.Response) error {
	ex := o.ex
	o.answered, o.status, o.header = true, res.StatusCode, res.Header.Clone()
	if o.would && o.status == http.StatusNotModified {
		o.compared, o.same = true, policy.ConfirmsStored(o.found.Copy.Header(), o.header)
		return nil
	}
	if ex.r.Method == http.MethodHead {
		o.compared = true
		o.same = o.would && o.status == o.found.Copy.Status && o.header.Get("Etag") == o.found.Copy.Get("Etag")
		return nil
	}
	verdict := ex.route.Judge(policy.Fetch{
		Method: ex.semantics(), Requested: o.requested, Received: time.Now(), Status: o.status, Header: o.header,
		BodyLength: res.ContentLength, MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(), Through: true,
		Forwarded: ex.selection(ex.selecting(o.found)),
	})
	o.body = &capture{ReadCloser: res.Body, limit: ex.cfg.MaxObject, done: func(body []byte) {
		o.compared = true
		o.same = o.would && store.Digest(o.status, body) == o.found.Copy.Digest && len(telling(o.found.Copy, o.header)) == 0
		// A copy that would have been served would still be there: the comparisons to come are to be true to life.
		if verdict.Store && (!o.would || o.renewed) {
			ex.keep(o.status, o.header, body, verdict, o.token, plain)
		}
	}}
	res.Body = o.body
	return nil
}

// conclude says what the comparison has shown. It says nothing where the client left or the origin broke off before the
// answer was whole, or where the copy was invalidated while the origin was answering: then both may be right.
func (o *observation) conclude() {
	ex := o.ex
	if !o.answered {
		return
	}
	if o.body != nil && o.body.over {
		o.compared = true // no copy is that long
	}
	switch {
	case !o.would:
	case !o.compared:
		ex.status.Reason = policy.Incomplete
		if ex.r.Context().Err() != nil {
			ex.status.Reason = policy.ClientGone
		}
		return
	case o.same:
		ex.status.Outcome = policy.WouldHit
	case o.invalidated():
		ex.status.Reason = policy.Outdated
		return
	case o.recoded():
		return
	default:
		ex.status.Outcome = policy.WouldDiffer
		o.tell()
	}
	ex.route.metrics.Observed(ex.origin, ex.status.Outcome == policy.WouldHit)
}

func (o *observation) invalidated() bool {
	now, _ := o.ex.p.judge(o.found.Copy, o.ex.start)
	return now < o.found.use
}

// recoded reports whether the origin has chosen another coding for a client that accepts the same ones and prefers others: a
// choice that no fill leaves it.
func (o *observation) recoded() bool {
	c := o.found.Copy
	return slices.Contains(c.Vary, "Accept-Encoding") && c.Get("Content-Encoding") != o.header.Get("Content-Encoding")
}

// plain makes a copy of an answer as it is. What is observed is only ever compared with other answers of the origin.
func plain(status int, header http.Header, body []byte) *store.Copy {
	return store.NewCopy(status, header, exact(body))
}

// keep stores an answer that came by another way than a fill, as the copy that seal makes of it. It reports whether it did:
// not if anything that it belongs to was invalidated since token, nor if it took so long that the ledger may have forgotten it.
func (ex *exchange) keep(status int, header http.Header, body []byte, verdict policy.Verdict, token invalidation.Token,
	seal func(status int, header http.Header, body []byte) *store.Copy,
) bool {
	if policy.Passing(status) && ex.p.standsIn(string(ex.key), ex.r.Header, time.Now()) {
		return false
	}
	members := ex.route.Members(&ex.match, ex.target, ex.query, ex.r.Header, header)
	ids := invalidation.IDsOf(members)
	ex.p.ledger.Retain(verdict.Lifetime.Retention())
	if len(members) > policy.MaxMembers || int64(len(body)) < ex.route.StoreIf.MinBytes ||
		time.Since(ex.start) > invalidation.MaxFill || !ex.p.ledger.Admits(token, ids) {
		return false
	}
	copied := seal(status, dated(ex.route.StoredHeader(header), verdict.Lifetime.Received), body)
	copied.Life, copied.Vary, copied.Members = verdict.Lifetime, verdict.Vary, ids
	copied.Stamp.Set(token)
	ex.p.store.Put(string(ex.key), ex.r.Header, copied)
	return true
}
