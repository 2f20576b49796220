package proxy

import (
	"bytes"
	"net/http"

	"cacheproxy/policy/httpcache"
)

// answerAsLast answers an OPTIONS or TRACE that may not go any further, as its final recipient (RFC 9110 §7.6.2).
func (ex *exchange) answerAsLast() {
	h := ex.w.Header()
	ex.addCacheStatus(h)
	if ex.r.Method != http.MethodTrace {
		ex.w.WriteHeader(http.StatusNoContent) // which methods the resource allows only its origin knows
		return
	}
	h.Set("Content-Type", "message/http")
	var b bytes.Buffer
	b.WriteString(ex.r.Method + " " + ex.r.RequestURI + " " + ex.r.Proto + "\r\nHost: " + ex.r.Host + "\r\n")
	// Writing to memory does not fail, nor does sending to a client that has left matter.
	_ = httpcache.TraceHeader(ex.r.Header).Write(&b)
	b.WriteString("\r\n")
	_, _ = ex.w.Write(b.Bytes())
}
