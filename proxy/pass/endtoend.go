package pass

import (
	"fmt"
	"io"
	"net/http"

	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// endToEnd is one request's way to the upstream, as ReverseProxy's transport. It removes the fields of the connection
// from the response, since ReverseProxy would let Connection remove end-to-end fields too (RFC 9110 §7.6.1). In one
// place, close, endToEnd gives back what the request holds of the upstream, since ReverseProxy leaves a body open
// when a hook panics or an upgrade fails.
//
// An endToEnd is used once, by the goroutine of Serve alone.
type endToEnd struct {
	options Options
	slot    *upstream.Slot // nil: none yet
	body    io.Closer      // of the response; nil: none
}

// RoundTrip waits for a place and sends the request.
func (e *endToEnd) RoundTrip(req *http.Request) (*http.Response, error) {
	slot, err := e.options.Upstream.Acquire(req.Context(), e.options.Place)
	if err != nil {
		if req.Body != nil {
			req.Body.Close() // a RoundTripper owns the body; its error cannot matter any more
		}
		return nil, fmt.Errorf("send to upstream %s: %w", e.options.Upstream.Name(), err)
	}
	e.slot = slot
	sent := func(*http.Response, error) {}
	if e.options.Sending != nil {
		sent = e.options.Sending(req)
	}
	res, err := e.options.Upstream.Send(req, slot)
	if err == nil {
		e.body = res.Body
	}
	sent(res, err)
	switch {
	case err != nil:
	case res.StatusCode == http.StatusSwitchingProtocols:
		// ReverseProxy expects the upstream to switch to all protocols that the request offers, so the request names
		// only the chosen one from here on. The transport may still read the header that was sent: a clone changes.
		req.Header = req.Header.Clone()
		req.Header.Set("Upgrade", res.Header.Get("Upgrade"))
	default:
		httpcache.RemoveHopByHop(res.Header)
	}
	return res, err
}

// close ends what ReverseProxy may have left open. When all went well, close changes nothing.
func (e *endToEnd) close() {
	if e.body != nil {
		e.body.Close() // the body was read as far as anybody wanted: an error cannot matter any more
	}
	if e.slot != nil {
		e.slot.Release()
	}
}
