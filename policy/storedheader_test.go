package policy

import (
	"reflect"
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestStoredAndDeliveredHeader(t *testing.T) {
	origin := header("Content-Type: text/html", "Cache-Status: up; hit", "Age: 5", "Set-Cookie: a=1", "Surrogate-Key: t", "xkey: t",
		"Cache-Tag: t", "Connection: close, X-Hop", "X-Hop: 1", "Transfer-Encoding: chunked", "Proxy-Authenticate: Basic",
		"X-Request-Id: r", "Traceparent: t", "Tracestate: s", "Traceresponse: r")
	before := origin.Clone()
	stored := header("Content-Type: text/html", "Cache-Status: up; hit", "Cache-Tag: t")
	if got := (&Route{}).StoredHeader(origin.Clone()); !reflect.DeepEqual(got, stored) {
		t.Errorf("StoredHeader (RFC 9111 §3.1) = %v", got)
	}
	delivered := header("Content-Type: text/html", "Cache-Status: up; hit", "Cache-Tag: t", "Age: 5", "Set-Cookie: a=1",
		"X-Request-Id: r", "Traceparent: t", "Tracestate: s", "Traceresponse: r")
	if got := httpcache.DeliverHeader(origin); !reflect.DeepEqual(got, delivered) {
		t.Errorf("DeliverHeader = %v", got)
	}
	shared := header("Content-Type: text/html", "Cache-Status: up; hit", "Cache-Tag: t", "Set-Cookie: a=1")
	if got := (&Route{Override: OverrideSetCookie}).StoredHeader(origin.Clone()); !reflect.DeepEqual(got, shared) {
		t.Errorf("StoredHeader with cookies for everyone (RFC 9111 §7.3) = %v", got)
	}
	if got := (&Route{Override: OverrideSetCookie, StripSetCookie: true}).StoredHeader(origin.Clone()); !reflect.DeepEqual(got, stored) {
		t.Errorf("StoredHeader that strips = %v", got)
	}
	if !reflect.DeepEqual(origin, before) {
		t.Error("the origin's header was changed")
	}
	if httpcache.DeliverHeader(nil) == nil {
		t.Error("nil header")
	}
}
