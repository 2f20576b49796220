package policy

import (
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestAsksAsFill(t *testing.T) {
	all, listed := Route{ForwardHeaders: ForwardAll}, Route{Headers: []string{"X-Tenant"}}
	tests := []struct {
		about    string
		route    Route
		lines    []string
		selected []string
		want     bool
	}{
		{"nothing", listed, nil, nil, true},
		{"what every fill forwards", listed, []string{"Accept: text/html", "X-Tenant: 7"}, nil, true},
		{"what Vary names", listed, []string{"X-A: 1"}, []string{"X-A"}, true},
		{"codings, in another spelling", listed, []string{"Accept-Encoding: br, gzip;q=0.5"}, nil, true},
		{"a field that is not forwarded", listed, []string{"X-A: 1"}, nil, false},
		{"the same where everything is", all, []string{"X-A: 1"}, nil, true},
		{"one that is keyed where everything is", all, []string{"X-Original-Url: /other"}, nil, true},
		{"one that never is", all, []string{"X-Forwarded-Prefix: /other"}, nil, false},
		{"a cookie", all, []string{"Cookie: a=1"}, nil, false},
		{"a condition", all, []string{`If-None-Match: "a"`}, nil, false},
		{"what all clients say, and the trace", listed, []string{"User-Agent: a", "X-Forwarded-For: 10.0.0.1", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, nil, true},
		{"what some choose to say", listed, []string{"X-Real-Ip: 10.0.0.1"}, nil, false},
		{"where they come from", listed, []string{"Referer: http://a.example/"}, nil, false},
		{"who asks, where fills say it", all, []string{"User-Agent: a"}, nil, true},
		{"what the route ignores", Route{IgnoreHeaders: []string{"X-Client-*"}}, []string{"X-Client-Version: 3"}, nil, false},
		{"a field that Connection takes out", listed, []string{"X-Tenant: 7", "Connection: close, X-Tenant"}, nil, false},
		{"options of the connection", listed, []string{"Connection: keep-alive, close"}, nil, true},
		{"wishes to caches", listed, []string{"Cache-Control: no-cache", "Pragma: no-cache"}, nil, true},
		{"codings where fills ask for none", Route{Compression: httpcache.Gzip}, []string{"Accept-Encoding: gzip"}, nil, false},
	}
	for _, tt := range tests {
		if got := tt.route.AsksAsFill(header(tt.lines...), tt.selected); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}
