package policy

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

// spellings are the ways to write a name that servers by the rules of CGI take for one (RFC 3875 §4.1.18).
func spellings(name string) []string {
	under := strings.ReplaceAll(name, "-", "_")
	return []string{name, strings.ToLower(name), under, strings.ToUpper(under), strings.Replace(name, "-", "_", 1)}
}

// RFC 9110 §7.6.1: Connection must not name a field that is for all recipients.
func TestMisnamed(t *testing.T) {
	protected := []string{
		"Authorization", "Cookie", "Host", "Content-Length", "Content-Type", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Client-Cert",
		"X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-Cert", "X-Client-Cert-DN", "X-SSL-Client-Verify", "Client-Cert",
		"X-Origin-Verify", "X-Amzn-Oidc-Data", "X-Goog-Authenticated-User-Email", "X-Api-Key", "X-Tenant-Id", "X-User-Id", "Remote-User",
		"Traceparent", "X-Request-Id", "X-B3-Traceid", "Cache-Control", "If-Match", "Range", "Origin", "Accept", "X-HTTP-Method-Override",
		"X-Original-URL", "Max-Forwards", "CDN-Loop", "Expect",
	}
	for name, class := range fieldClasses {
		if class != unlistedField && !httpcache.IsHopByHop(name) {
			protected = append(protected, name)
		}
	}
	for _, name := range protected {
		for _, spelled := range spellings(name) {
			h := http.Header{"Connection": {"keep-alive", "close, " + spelled}}
			if got, why := (*Route)(nil).Misnamed(h); got == "" || why == NoReason {
				t.Errorf("Connection may name %s", spelled)
			}
		}
	}
	for _, line := range []string{"", "close", "keep-alive, Upgrade", "Upgrade, HTTP2-Settings", "TE, trailers", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "X-Hop"} {
		if got, why := (*Route)(nil).Misnamed(http.Header{"Connection": {line}}); got != "" || why != NoReason {
			t.Errorf("Connection: %s is malformed for %s", line, got)
		}
	}
	if got, _ := (&Route{Headers: []string{"X-Hop"}}).Misnamed(http.Header{"Connection": {"x-hop"}}); got != "X-Hop" {
		t.Error("Connection may name a field that is part of the key")
	}
}

// RFC 9110 §9.3.8.
func TestTraceHeader(t *testing.T) {
	h := TraceHeader(http.Header{
		"Cookie": {"a=b"}, "Authorization": {"x"}, "Proxy-Authorization": {"x"}, "X-Api-Key": {"k"}, "X-Client-Cert-Dn": {"a"}, "X-Origin-Verify": {"s"},
		"X_client_cert": {"a"}, "X-Amzn-Oidc-Data": {"j"}, "X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"for=1.2.3.4"}, "Set-Cookie": {"a=b"},
		"Via": {"1.1 a"}, "Max-Forwards": {"0"}, "X-Seen": {"x"},
	})
	if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, []string{"Max-Forwards", "Via", "X-Seen"}) {
		t.Errorf("%v", got)
	}
}

// RFC 9110 §6.5.1.
func TestStripTrailer(t *testing.T) {
	for name, stays := range map[string]bool{
		"Authorization": false, "Cookie": false, "Host": false, "Content-Length": false, "Transfer-Encoding": false, "Connection": false,
		"Trailer": false, "Content-Encoding": false, "Content-Type": false, "Content-Range": false, "Max-Forwards": false, "Expect": false,
		"Cache-Control": false, "If-Match": false, "Range": false, "Te": false, "X-Forwarded-For": false, "Forwarded": false, "Via": false,
		"X-Request-Id": false, "Traceparent": false, "X-Real-Ip": false, "X-Client-Cert-Dn": false, "X-Original-Url": false,
		"X-Http-Method-Override": false, "X-Origin-Verify": false, "Set-Cookie": false, "X-Declared": false,
		"Grpc-Status": true, "Grpc-Message": true, "Grpc-Status-Details-Bin": true, "X-Sum": true, "Etag": true, "Content-Digest": true,
		"Repr-Digest": true, "Server-Timing": true, "X-Amz-Checksum-Crc32": true,
	} {
		for _, spelled := range spellings(name) {
			trailer := http.Header{spelled: {"x"}}
			(&Route{Headers: []string{"X-Declared"}}).StripTrailer(trailer)
			if (len(trailer) == 1) != stays {
				t.Errorf("request: %s stays: %t, want %t", spelled, !stays, stays)
			}
		}
	}
	answer := http.Header{}
	for name := range maps.Keys(map[string]bool{"Set-Cookie": true, "Cache-Control": true, "Content_Length": true, "Vary": true, "Grpc-Status": true, "X-Trace-Id": true}) {
		answer[name] = []string{"x"}
	}
	httpcache.StripTrailer(answer)
	if got := slices.Sorted(maps.Keys(answer)); !slices.Equal(got, []string{"Grpc-Status", "X-Trace-Id"}) {
		t.Errorf("response: %v", got)
	}
}
