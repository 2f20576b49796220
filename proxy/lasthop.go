package proxy

import (
	"bytes"
	"net/http"

	"cacheproxy/policy"
)

// answerAsLast answers an OPTIONS or TRACE whose Max-Forwards is 0, as the final recipient of the request (RFC 9110
// §7.6.2).
func (d *delivery) answerAsLast() {
	h := d.w.Header()
	d.addCacheStatus(h)
	if d.rq.r.Method != http.MethodTrace {
		d.w.WriteHeader(http.StatusNoContent) // only the origin knows which methods the resource allows
		return
	}
	h.Set("Content-Type", "message/http")
	var b bytes.Buffer
	b.WriteString(d.rq.r.Method + " " + d.rq.r.RequestURI + " " + d.rq.r.Proto + "\r\nHost: " + d.rq.r.Host + "\r\n")
	// A write to memory does not fail, and a failed write to a client that has left does not matter.
	_ = policy.TraceHeader(d.rq.r.Header).Write(&b)
	b.WriteString("\r\n")
	_, _ = d.w.Write(b.Bytes())
}
