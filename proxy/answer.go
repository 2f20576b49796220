package proxy

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// statusGone is logged for a client that left before its answer; it is never sent.
const statusGone = 499

// refuse answers a request that the proxy cannot or must not serve.
func (ex *exchange) refuse(code int, why policy.Reason, text string) {
	ex.status.Outcome, ex.status.Reason = policy.Failed, why
	ex.answer(code, text)
}

// answer sends an error of the proxy's own.
func (ex *exchange) answer(code int, text string) {
	h := ex.w.Header()
	h.Set("Cache-Control", "no-store")
	if code == http.StatusServiceUnavailable {
		setRetryAfter(h, ex.route.Origin.RetryAfter())
	}
	ex.addCacheStatus(h)
	http.Error(&ex.w, identified(text, h), code)
}

// setRetryAfter tells a client when to come back, in whole seconds (RFC 9110 §10.2.3).
func setRetryAfter(h http.Header, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int(d/time.Second)))
}

// fail answers for an origin that gave no answer.
func (ex *exchange) fail(why policy.Reason, err error) {
	ex.status.Outcome, ex.status.Reason = policy.Failed, why
	code, text := upstream.Status(why), "the upstream could not be reached or broke off"
	switch why {
	case policy.ClientGone:
		ex.gone()
	case policy.OriginTimeout:
		text = "the upstream did not answer in time"
	case policy.QueueFull, policy.QueueTimeout:
		ex.status.Outcome = policy.Shed
		text = "the upstream has no place for this request, try again"
	case policy.StoreUnavailable:
		code, text = http.StatusServiceUnavailable, withheld
	case policy.Panic:
		code, text = http.StatusInternalServerError, "the proxy failed; its log says how"
	}
	ex.unanswered(err)
	ex.answer(code, text)
}

// unanswered logs a request that got no answer from its origin. One that was refused a place is the limit at work: there
// can be thousands a second, which the metrics and the access log count.
func (ex *exchange) unanswered(err error) {
	level := slog.LevelWarn
	if ex.status.Outcome == policy.Shed {
		level = slog.LevelDebug
	}
	ex.p.logger.Log(ex.p.lifetime, level, "no answer from upstream", "route", ex.route.Name, "upstream", ex.route.Upstream,
		"reason", ex.status.Reason.String(), "request_id", ex.id(), "error", err)
}

// gone ends a request whose client has left.
func (ex *exchange) gone() {
	ex.status.Outcome, ex.status.Reason = policy.Failed, policy.ClientGone
	ex.w.code = statusGone
	panic(http.ErrAbortHandler)
}
