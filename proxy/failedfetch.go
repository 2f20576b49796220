package proxy

import (
	"maps"
	"net/http"
	"slices"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
)

// A shared fetch is made with what one request forwards, and that may be what it fails on: an upstream that hangs up on a long Accept
// fails for whoever sent it, and for nobody else. So a failure is shared by those who forward the very same, whom the upstream could
// not tell apart. Others elect a leader once more; where that one fails as well, those who forward the same fetch together. What one
// client sends then costs another two requests at most, and an upstream that is down is asked twice for all, and once more for each
// different set of fields that those who wait have.

// sharesFailure reports whether the failure of another's fetch is one for this request too.
func (ex *exchange) sharesFailure(res *fill.Response, found candidate) bool {
	switch res.Reason {
	case policy.OriginError, policy.OriginTimeout, policy.Panic, policy.NoReason:
		return ex.standsIn(found) || sameFields(res.Forward, ex.forwarded(found))
	}
	return true // it came about before anything was sent
}

// failed reports whether a fetch brought no answer to the question, but a word of the moment's trouble.
func failed(res *fill.Response) bool {
	return res.Reason != policy.NoReason || res.Status >= http.StatusInternalServerError && !res.Verdict.Store
}

// elect has the request look for a leader again after a failure that is not its own. To wait for a timeout a third time would be too
// long.
func (rq *request) elect(res *fill.Response) {
	rq.byItself = rq.elected || res.Reason == policy.OriginTimeout
	rq.elected = true
}

// traces are the fields that differ from request to request, and that no upstream answers by.
var traces = []string{"Traceparent", "Tracestate"}

// sameFields reports whether two headers are the same but for the traces.
func sameFields(a, b http.Header) bool {
	a, b = withoutTraces(a), withoutTraces(b)
	return maps.EqualFunc(a, b, slices.Equal[[]string])
}

func withoutTraces(h http.Header) http.Header {
	h = maps.Clone(h)
	for _, name := range traces {
		delete(h, name)
	}
	return h
}

// alike ends the keys of flights of those who forward the same, and the fields follow. No key is the beginning of another.
const alike = 't'

// fieldsKey is the key under which requests are coalesced that forward the very same.
func (rq *request) fieldsKey(c candidate) string {
	h := withoutTraces(rq.forwarded(c))
	key := append(slices.Clone(rq.key), alike)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		key = httpcache.AppendField(key, name)
		for _, line := range h[name] {
			key = httpcache.AppendField(append(key, alike), line)
		}
		key = append(key, 0)
	}
	return string(key)
}
