package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// failure returns the outcome, status and text with which a client is answered if there is no answer from the origin.
// The text does not say where the origin is; the log does.
func failure(why policy.Reason) (outcome policy.Outcome, code int, text string) {
	outcome, code, text = policy.Failed, upstream.Status(why), "the upstream could not be reached or broke off"
	switch why {
	case policy.OriginTimeout:
		text = "the upstream did not answer in time"
	case policy.QueueFull, policy.QueueTimeout:
		outcome, text = policy.Shed, "the upstream has no place for this request, try again"
	case policy.StoreUnavailable:
		code, text = storeDown.code, storeDown.text
	case policy.Panic:
		code, text = http.StatusInternalServerError, "the proxy failed; its log says how"
	}
	return outcome, code, text
}

// fail answers a request whose fetch has failed. fail replaces the outcome and the reason in status.
func (ex *exchange) fail(status policy.Status, why policy.Reason, err error) {
	if errors.As(err, new(*upstream.RequestError)) {
		ex.refuse(unwritable)
		return
	}
	if why == policy.ClientGone {
		ex.gone()
	}
	var code int
	var text string
	status.Outcome, code, text = failure(why)
	status.Reason = why
	ex.settle(status)
	ex.unanswered(err)
	ex.answer(code, refusedTo(err, text))
}

// unwritable is the answer to a request whose own contents cannot be written to any upstream. Malformed requests that
// package server recognizes are refused there, and do not come here.
var unwritable = refusal{http.StatusBadRequest, policy.UncleanPath, "the request is malformed: its method, Host, target or a field cannot be sent on"}

// refusedTo returns the text for a client that was refused a place: text, or another text if the client has reached the
// limit for one client and not the limit for all.
func refusedTo(err error, text string) string {
	if upstream.ClientsShare(err) {
		return "this client has as many streams open as one may have, a quarter of max_streams; a proxy before this one belongs in trusted_proxies"
	}
	return text
}

// gone ends a request whose client has left.
func (ex *exchange) gone() {
	ex.settle(policy.Status{Outcome: policy.Failed, Reason: policy.ClientGone})
	ex.w.code = upstream.StatusClientGone
	panic(http.ErrAbortHandler)
}

// passFailed answers a passed request through w if the origin gave no answer. status is as for fail.
func (ex *exchange) passFailed(w http.ResponseWriter, status policy.Status, err error) {
	why := upstream.Classify(err)
	if why == policy.ClientGone && server.Late(ex.r.Context()) {
		// net/http ends the request's context, as if the client had left, before the error of the late body is
		// reported.
		err, why = &upstream.RequestBodyError{Err: os.ErrDeadlineExceeded}, policy.RequestBody
	}
	var refused *refusal
	switch {
	case errors.As(err, new(*upstream.RequestError)):
		refused, why = &unwritable, unwritable.why
	case errors.As(err, new(*upstream.RequestBodyError)):
		if refused = bodyRefusal(err); ex.r.Context().Err() == nil {
			why = refused.why
		}
	}
	// After the deadline of a gRPC call, a failure counts as the client's deadline. The upstream's server, which has
	// the same deadline, may have broken off the call, or a limit of the proxy: the difference does not matter.
	originGaveUp := why == policy.OriginError || why == policy.OriginTimeout || why == policy.QueueTimeout
	overdue := originGaveUp && server.Overdue(ex.r, time.Since(ex.start))
	if overdue {
		why = policy.ClientGone
	}
	outcome, code, text := failure(why)
	ex.settle(status.Failing(outcome, why))
	switch {
	case refused != nil:
		code, text = refused.code, refused.text
	case overdue:
		text = "the deadline of the call passed before the upstream had answered"
	case why == policy.ClientGone:
		ex.w.code = upstream.StatusClientGone
		panic(http.ErrAbortHandler) // returning would send an empty 200
	default:
		ex.unanswered(err)
	}
	ex.addCacheStatus(w.Header())
	if code == http.StatusServiceUnavailable {
		setRetryAfter(w.Header(), ex.route.Origin.RetryAfter())
	}
	w.Header().Set("Cache-Control", "no-store")
	server.Error(w, ex.r, code, refusedTo(err, text), w.Header().Get(requestIDField))
}

// unanswered logs a request that got no answer from the origin. A request that was refused a place is logged at level
// Debug: thousands a second are possible, which the metrics and the access log count.
func (ex *exchange) unanswered(err error) {
	level := slog.LevelWarn
	if ex.status.Outcome == policy.Shed {
		level = slog.LevelDebug
	}
	ex.p.logger.Log(ex.p.lifetime, level, "no answer from upstream", "route", ex.route.Name, "upstream", ex.route.Upstream,
		"reason", ex.status.Reason.String(), "request_id", ex.id(), "error", err)
}
