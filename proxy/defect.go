package proxy

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"cacheproxy/policy"
)

// caught recovers from a panic in the handling of a request: it logs the panic, and answers with 500 if no head has gone out, or else breaks off
// the answer. net/http by itself would close the connection without an answer, and log at level Debug only. Callers defer caught after
// finish, so that it runs before finish reports the request.
func caught(ex *exchange) {
	v := recover()
	switch {
	case v == nil:
		return
	case v == http.ErrAbortHandler: // deliberate: the answer breaks off, so that the client does not take a part for the whole
		panic(v)
	}
	onDefect(v)
	ex.p.logger.Error("request panicked", "route", ex.route.Name, "request_id", ex.id(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if ex.settled {
		ex.broke(policy.Panic)
	} else {
		ex.settle(policy.Status{Outcome: policy.Failed, Reason: policy.Panic})
	}
	if ex.w.code != 0 {
		panic(http.ErrAbortHandler)
	}
	h := ex.w.Header()
	for name := range h { // fields of the answer that failed; Connection, which may say close, is about more than that answer
		if name != "Connection" {
			delete(h, name)
		}
	}
	_, code, text := failure(policy.Panic)
	ex.answer(code, text)
	ex.whole = true
}

// onDefect is called with each recovered panic. Tests replace it with one that fails the test, which would otherwise see only a 500.
var onDefect = func(defect any) {}
