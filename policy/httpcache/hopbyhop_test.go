package httpcache

import (
	"net/http"
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

// Whatever Connection names, what decides on caching and on who may see an answer stays, and what is for one connection goes.
func FuzzConnection(f *testing.F) {
	for _, seed := range []string{"close, x-a", "Set-Cookie, Vary,CACHE-CONTROL", ",,", "x a", "\x00", "cdn-cache-control"} {
		f.Add(seed, "X-A")
	}
	f.Fuzz(func(t *testing.T, line, name string) {
		h := http.Header{"Connection": {line}, "Upgrade": {"x"}, "Te": {"x"}, http.CanonicalHeaderKey(name): {"x"}}
		kept := []string{"Set-Cookie", "Vary", "Cache-Control", "Cdn-Cache-Control", "Authorization", "Etag", "Content-Range", "If-Match"}
		for _, name := range kept {
			h[name] = []string{"x"}
		}
		RemoveHopByHop(h)
		for _, name := range kept {
			if h[name] == nil {
				t.Fatalf("Connection: %q removes %s", line, name)
			}
		}
		for name := range hopByHop {
			if h[name] != nil {
				t.Fatalf("Connection: %q leaves %s", line, name)
			}
		}
	})
}
