package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// keepable reports whether the answer may become a copy.
func (w *writing) keepable(res *http.Response) bool {
	return w.ex.route.KeepsResponse(w.ex.r.Method, w.ex.target, res.StatusCode, res.Header)
}

// lateFence puts up a fence around an answer that may become a copy, where none stood during the write. In its place,
// nothing at all must have been invalidated since before the write was sent: the beginning of the fence is then the very
// next entry. What is invalidated from there on is noticed by the fence.
func (w *writing) lateFence() {
	p := w.ex.p
	fence, err := p.announce(w.members)
	if err != nil {
		p.logger.Warn("answer to a write not kept: fence not set", "route", w.ex.route.Name, "error", err)
		return
	}
	w.fence = fence
	w.disturbed = p.ledger.Token().Position() != w.before.Position()+1
}

// keep stores the answer to a write as the new copy of its target, where the route asks for it and the answer says that
// it is one: its Content-Location names the target (RFC 9110 §8.7) and nobody else touched it since the fence went up.
func (w *writing) keep(res *http.Response) {
	ex := w.ex
	if w.fence == nil || !w.exclusive || w.disturbed || !w.keepable(res) {
		return
	}
	query, reason := ex.route.Query.Apply(ex.target.Query)
	if reason != policy.NoReason || len(ex.r.Header["Authorization"]) > 0 || len(ex.r.Header["Cookie"]) > 0 {
		return
	}
	ex.query = query
	ex.key = ex.route.AppendKey(ex.key[:0], ex.target, ex.route.keyedHost(ex.target.Host), query, ex.r.Header)
	header, token, now := res.Header.Clone(), w.token, time.Now()
	verdict := ex.route.Judge(policy.Fetch{
		Method: http.MethodGet, Requested: ex.start, Received: now, Status: http.StatusOK, Header: header,
		BodyLength: res.ContentLength, MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(), Through: true,
	})
	// A copy that varies belongs to a read's header, which a write does not have.
	if !verdict.Store || len(verdict.Vary) > 0 {
		return
	}
	res.Body = &capture{ReadCloser: res.Body, limit: ex.cfg.MaxObject, done: func(body []byte) {
		kept := ex.keep(http.StatusOK, header, body, verdict, token, func(status int, h http.Header, body []byte) *store.Copy {
			return ex.route.seal(status, ex.route.negotiated(status, h), body)
		})
		if kept {
			ex.p.sink(ex.route, string(ex.key), ex.r.Header.Clone(), func(store.Landing) {})
		}
	}}
}
