package policy

import (
	"reflect"
	"testing"
)

func TestRemoveHopByHop(t *testing.T) {
	h := header("Connection: close, x-hop ,", "Connection: X-Other", "X-Hop: 1", "X-Other: 1", "X-Stays: 1",
		"Keep-Alive: 1", "Proxy-Connection: 1", "Proxy-Authenticate: 1", "Proxy-Authorization: 1", "Proxy-Authentication-Info: 1",
		"TE: trailers", "Trailer: X", "Transfer-Encoding: chunked", "Upgrade: h2c")
	RemoveHopByHop(h)
	if want := header("X-Stays: 1"); !reflect.DeepEqual(h, want) {
		t.Errorf("RFC 9110 §7.6.1: %v", h)
	}
}

func TestRemoveHopByHopKeepsEndToEnd(t *testing.T) {
	for _, name := range []string{"Cache-Control", "Expires", "Set-Cookie", "Vary", "Age", "Date", "ETag", "Content-Length", "Content-Range",
		"Content-Type", "Surrogate-Key", "Xkey", "Authorization", "Cookie", "Range", "If-None-Match", "X-Forwarded-For", "Forwarded", "Via"} {
		h := header("Connection: "+name, name+": 1")
		RemoveHopByHop(h)
		if h.Get(name) != "1" || len(h) != 1 {
			t.Errorf("Connection: %s leaves %v (RFC 9110 §7.6.1)", name, h)
		}
	}
}
