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

// failure says with what outcome, status and text a client is answered if there is no answer from the origin. The text does not say where the
// origin is; the log does.
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

// fail answers a request whose fetch has failed. Of status, the outcome and the reason are replaced.
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

// unwritable is the answer to a request that cannot be written to any upstream because of its own contents. Package server refuses the
// malformed requests that it recognizes before they come here.
var unwritable = refusal{http.StatusBadRequest, policy.UncleanPath, "the request is malformed: its method, Host, target or a field cannot be sent on"}

// refusedTo is the text for a client that was refused a place: text, unless it has reached the limit for one client rather than that for all.
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

// passFailed answers through w for an origin that gave no answer to a request that went through. status is as for fail.
func (ex *exchange) passFailed(w http.ResponseWriter, status policy.Status, err error) {
	why := upstream.Classify(err)
	if why == policy.ClientGone && server.Late(ex.r.Context()) {
		// net/http ends the request, as if the client had left, before it reports that the body did not come.
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
	// After the deadline of a gRPC call it does not matter who broke it off: the upstream's server, which has the same deadline, or a limit
	// of the proxy. It counts as the client's deadline.
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

// unanswered logs a request that got no answer from its origin. A request that was refused a place is logged at level Debug: there can be
// thousands a second, which the metrics and the access log count.
func (ex *exchange) unanswered(err error) {
	level := slog.LevelWarn
	if ex.status.Outcome == policy.Shed {
		level = slog.LevelDebug
	}
	ex.p.logger.Log(ex.p.lifetime, level, "no answer from upstream", "route", ex.route.Name, "upstream", ex.route.Upstream,
		"reason", ex.status.Reason.String(), "request_id", ex.id(), "error", err)
}
