package proxy

import (
	"bytes"
	"net/http"

	"cacheproxy/policy"
)

// answerAsLast answers an OPTIONS or TRACE whose Max-Forwards is 0, as its final recipient (RFC 9110 §7.6.2).
func (d *delivery) answerAsLast() {
	h := d.w.Header()
	d.addCacheStatus(h)
	if d.rq.r.Method != http.MethodTrace {
		d.w.WriteHeader(http.StatusNoContent) // which methods the resource allows only its origin knows
		return
	}
	h.Set("Content-Type", "message/http")
	var b bytes.Buffer
	b.WriteString(d.rq.r.Method + " " + d.rq.r.RequestURI + " " + d.rq.r.Proto + "\r\nHost: " + d.rq.r.Host + "\r\n")
	// Writing to memory does not fail, nor does sending to a client that has left matter.
	_ = policy.TraceHeader(d.rq.r.Header).Write(&b)
	b.WriteString("\r\n")
	_, _ = d.w.Write(b.Bytes())
}
