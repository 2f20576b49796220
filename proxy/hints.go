package proxy

import (
	"maps"
	"net/http"
)

// inform sends an informational response, such as 103 (RFC 8297). HTTP/1.0 has no informational responses (RFC 9110
// §15.2).
func (d *delivery) inform(status int, hints http.Header) {
	if !d.rq.r.ProtoAtLeast(1, 1) {
		return
	}
	// No field of the final header is set before the fill's header has come, so that clear removes only the hints.
	header := d.w.Header()
	maps.Copy(header, hints)
	d.w.WriteHeader(status)
	clear(header)
}
