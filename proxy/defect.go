package proxy

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"cacheproxy/policy"
)

// caught recovers from a panic in the handling of a request, and logs the panic. If no head has gone out, caught
// answers with 500; otherwise caught breaks off the answer. net/http by itself would close the connection without an
// answer, and log at level Debug only. Callers defer finish first and caught second: caught then runs first, and finish
// reports the outcome that caught has set.
func caught(ex *exchange) {
	v := recover()
	switch {
	case v == nil:
		return
	case v == http.ErrAbortHandler: // deliberate: the client must not take a part for the whole
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
	for name := range h { // fields of the failed answer. Connection stays: close is about more than that answer
		if name != "Connection" {
			delete(h, name)
		}
	}
	_, code, text := failure(policy.Panic)
	ex.answer(code, text)
	ex.whole = true
}

// onDefect is called with each recovered panic. Tests replace onDefect by a function that fails the test, since the
// test itself sees only a 500.
var onDefect = func(defect any) {}
