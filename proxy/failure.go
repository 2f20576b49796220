package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// failure is what a client is told where there is no answer from the origin, and which outcome that is. It says nothing of the
// origin's whereabouts; the log does.
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

// fail answers for an origin that gave no answer to a fetch. status is what is told but for the outcome and the reason.
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

// unwritable is the answer to a request that cannot be sent on for what it is itself. The server of clients refuses those that it knows.
var unwritable = refusal{http.StatusBadRequest, policy.UncleanPath, "the request is malformed: its method, Host, target or a field cannot be sent on"}

// refusedTo is what a client is told: text, unless the limit is its own and not that of all.
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
	// Who breaks off when a call of gRPC is over has no say in what that is: the server, which has the same deadline, or a limit of
	// the upstream that passes later.
	overdue := (why == policy.OriginError || why == policy.OriginTimeout || why == policy.QueueTimeout) && server.Overdue(ex.r, time.Since(ex.start))
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

// panicked ends a request in which there was a panic, and nothing else. v is what was recovered; nil: nothing.
func panicked(ex *exchange, v any) {
	if v == nil {
		return
	}
	tellDefect(ex, v)
	switch {
	case v == http.ErrAbortHandler:
		panic(v)
	case ex.w.code != 0:
		ex.abort(policy.Panic)
	}
	outcome, code, text := failure(policy.Panic)
	if !ex.settled {
		ex.settle(policy.Status{Outcome: outcome, Reason: policy.Panic})
	}
	ex.broke(policy.Panic)
	h := ex.w.Header()
	connection := h["Connection"]
	clear(h) // it may be that of another answer
	if len(connection) > 0 {
		h["Connection"] = connection // which the server may have closed for how the request is framed
	}
	ex.answer(code, text)
}

// tellDefect has the log tell of a panic but that by which an answer breaks off. net/http would tell of it among what any client can bring
// about, which nobody reads.
func tellDefect(ex *exchange, v any) {
	if v != http.ErrAbortHandler {
		met(v)
		ex.p.logger.Error("request panicked", "route", ex.route.Name, "request_id", ex.id(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	}
}

// met is what happens on a defect besides. Tests fail for it.
var met = func(defect any) {}

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
