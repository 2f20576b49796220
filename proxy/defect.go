package proxy

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"cacheproxy/policy"
)

// caught ends a request that has met a defect of this program: the log tells of it, and so does the client's answer, where none of it went out.
// net/http would close the connection without a word, and tell where nobody looks. It is deferred, and the report of the request comes after it.
func caught(ex *exchange) {
	v := recover()
	switch {
	case v == nil:
		return
	case v == http.ErrAbortHandler: // no defect: the client is not to take a part for the whole
		panic(v)
	}
	met(v)
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
	for name := range h { // of the answer that was to be; whether the connection ends is not the answer's
		if name != "Connection" {
			delete(h, name)
		}
	}
	_, code, text := failure(policy.Panic)
	ex.answer(code, text)
	ex.whole = true
}

// met is what happens on a defect besides. Tests fail for it, which would else see an answer like others.
var met = func(defect any) {}
