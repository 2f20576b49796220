package policy

import (
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestKeepsResponse(t *testing.T) {
	target := httpcache.Target{Scheme: "http", Host: "h", Path: "/a"}
	keeps := Route{Caches: true, OnWrite: OnWriteStore}
	tests := []struct {
		about  string
		route  Route
		method string
		status int
		lines  []string
		want   bool
	}{
		{"POST with lifetime and Content-Location (RFC 9110 §9.3.3)", keeps, "POST", 200, []string{"Content-Location: /a", "Cache-Control: max-age=9"}, true},
		{"by Expires", keeps, "POST", 200, []string{"Content-Location: http://h/a", "Expires: " + httpDate(0)}, true},
		{"PATCH (RFC 5789 §2)", keeps, "PATCH", 200, []string{"Content-Location: /a", "Cache-Control: max-age=9"}, true},
		{"PUT: not cacheable (§9.3.4)", keeps, "PUT", 200, []string{"Content-Location: /a", "Cache-Control: max-age=9"}, false},
		{"DELETE: not cacheable (§9.3.5)", keeps, "DELETE", 200, []string{"Content-Location: /a", "Cache-Control: max-age=9"}, false},
		{"no lifetime", keeps, "POST", 200, []string{"Content-Location: /a"}, false},
		{"a lifetime of the route is not explicit", Route{Caches: true, OnWrite: OnWriteStore, TTL: 9}, "POST", 200, []string{"Content-Location: /a"}, false},
		{"the content of another URL", keeps, "POST", 200, []string{"Content-Location: /b", "Cache-Control: max-age=9"}, false},
		{"no Content-Location", keeps, "POST", 200, []string{"Cache-Control: max-age=9"}, false},
		{"another status", keeps, "POST", 202, []string{"Content-Location: /a", "Cache-Control: max-age=9"}, false},
		{"not asked for", Route{Caches: true}, "POST", 200, []string{"Content-Location: /a", "Cache-Control: max-age=9"}, false},
		{"write-through: PUT with the route's lifetime", Route{Caches: true, FencesWrites: true, OnWrite: OnWriteStore}, "PUT", 201, []string{"Content-Location: /a"}, true},
	}
	for _, tt := range tests {
		if got := tt.route.KeepsResponse(tt.method, target, tt.status, header(tt.lines...)); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}
