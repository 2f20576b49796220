package pass

import (
	"fmt"
	"io"
	"net/http"

	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// endToEnd is the http.RoundTripper that ReverseProxy sends one request with. It removes hop-by-hop fields from the response, since ReverseProxy would
// let Connection remove end-to-end fields too (RFC 9110 §7.6.1), and its close releases the place and the body, since ReverseProxy leaves the body
// open if a hook panics or an upgrade fails.
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
		// ReverseProxy expects the response to accept all protocols that were offered. The header is cloned, since the transport may still
		// read the one that was sent.
		req.Header = req.Header.Clone()
		req.Header.Set("Upgrade", res.Header.Get("Upgrade"))
	default:
		httpcache.RemoveHopByHop(res.Header)
	}
	return res, err
}

// close releases what ReverseProxy may have left open: the body and the place. If they were released already, it does nothing.
func (e *endToEnd) close() {
	if e.body != nil {
		e.body.Close() // it was read as far as anybody wanted: an error cannot matter any more
	}
	if e.slot != nil {
		e.slot.Release()
	}
}
