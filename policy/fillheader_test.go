package policy

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

// hostile is what no fill may forward undeclared.
var hostile = []string{
	"Authorization: Basic x", "Proxy-Authorization: Basic x", "Cookie: sid=1; region=eu",
	"If-None-Match: \"a\"", "If-Match: \"a\"", "If-Modified-Since: x", "If-Unmodified-Since: x", "If-Range: x", "Range: bytes=0-1",
	"Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 1", "Te: trailers", "Upgrade: x", "Transfer-Encoding: chunked", "Trailer: x",
	"X-Original-Url: /admin", "X-Rewrite-Url: /admin", "X-Http-Method-Override: DELETE", "X-Method-Override: DELETE", "X-Host: evil",
	"X-Forwarded-Host: evil", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Prefix: /evil", "Forwarded: host=evil", "X_forwarded_host: evil",
	"X_original_url: /admin", "X_tenant: b",
	"Cache-Control: only-if-cached", "Pragma: no-cache", "Content-Length: 3", "Expect: 100-continue", "Max-Forwards: 1", "X-Request-Id: r",
}

func TestFillHeader(t *testing.T) {
	known := []string{"Accept: a", "Accept-Encoding: gzip", "Accept-Language: de", "Origin: o", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate: s=1", "Via: 1.1 x"}
	unlisted := []string{"User-Agent: u", "Referer: r", "X-Tenant: a"}
	join := func(lists ...[]string) http.Header {
		var all []string
		for _, l := range lists {
			all = append(all, l...)
		}
		return header(all...)
	}
	rerouting := []string{"X-Original-Url: /admin", "X-Rewrite-Url: /admin", "X-Http-Method-Override: DELETE", "X-Method-Override: DELETE", "X-Host: evil"}
	client := join(hostile, known, unlisted)
	tests := []struct {
		about    string
		route    Route
		selected []string
		want     http.Header
	}{
		{"the fixed list", Route{}, nil, join(known)},
		{"what the route declares", Route{Headers: []string{"Authorization", "X-Tenant"}}, nil, join(known, []string{"X-Tenant: a", "Authorization: Basic x"})},
		{"declared cookies only", Route{Cookies: []string{"region", "theme"}}, nil, join(known, []string{"Cookie: region=eu"})},
		{"declared Cookie as a whole", Route{Headers: []string{"Cookie"}, Cookies: []string{"region"}}, nil, join(known, []string{"Cookie: sid=1; region=eu"})},
		{"Authorization is shared but not declared", Route{ShareAuthorized: true}, nil, join(known)},
		{"what Vary selects (RFC 9111 §4.1)", Route{}, []string{"X-Tenant", "User-Agent", "X-Absent"}, join(known, []string{"X-Tenant: a", "User-Agent: u"})},
		{"not what it ignores, whatever Vary says", Route{IgnoreHeaders: []string{"X-Ten*", "Accept-Language", "Origin"}}, []string{"X-Tenant"},
			header("Accept: a", "Accept-Encoding: gzip", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate: s=1", "Via: 1.1 x")},
		{"what Vary must not select", Route{}, []string{"Authorization", "Cookie", "Range", "If-None-Match", "X-Original-Url", "X-Forwarded-Host", "X_forwarded_host", "Te"}, join(known)},
		{"what nobody can declare", Route{Headers: []string{"If-None-Match", "Range", "Te", "Connection", "Upgrade"}}, nil, join(known)},
		{"all end-to-end fields, of which those that reroute are keyed", Route{ForwardHeaders: ForwardAll}, nil, join(known, unlisted, rerouting)},
		{"all, and credentials that are declared", Route{ForwardHeaders: ForwardAll, Headers: []string{"Authorization"}}, nil, join(known, unlisted, rerouting, []string{"Authorization: Basic x"})},
	}
	for _, tt := range tests {
		if got := tt.route.FillHeader(client, tt.selected); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %v\nwant %v", tt.about, got, tt.want)
		}
	}
}

// A client must not be able to take out of the fill what is in the key: the answer without it would be stored under it.
func TestFillHeaderKeepsWhatIsKeyed(t *testing.T) {
	client := header("Connection: X-Tenant, Origin, Accept-Language", "X-Tenant: a", "Origin: o", "Accept-Language: de")
	for _, mode := range []Forwarding{ForwardListed, ForwardAll} {
		r := Route{ForwardHeaders: mode, Headers: []string{"X-Tenant"}}
		got := r.FillHeader(client, []string{"Accept-Language", "Origin"})
		if want := header("X-Tenant: a", "Origin: o", "Accept-Language: de"); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %v", mode, got)
		}
	}
}

func TestFillHeaderIsACopy(t *testing.T) {
	client := header("Accept: a", "X: x", "Y: y")
	r := Route{Headers: []string{"X"}}
	got := r.FillHeader(client, []string{"Y"})
	for name := range got {
		got[name][0] = "changed"
	}
	if !reflect.DeepEqual(client, header("Accept: a", "X: x", "Y: y")) {
		t.Errorf("the client's header was changed: %v", client)
	}
	if got := r.FillHeader(nil, nil); got == nil {
		t.Error("nil header")
	}
}

// Spellings of the same share a variant; an absent field has its own (RFC 9110 §12.5.3, RFC 9111 §4.1).
func TestVariantsByCoding(t *testing.T) {
	names := []string{"Accept-Encoding"}
	for _, tt := range []struct {
		a, b http.Header
		same bool
	}{
		{header("Accept-Encoding: gzip, deflate, br"), header("Accept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0"), false},
		{header("Accept-Encoding: gzip, deflate, br"), header("Accept-Encoding: br;q=1.0, gzip;q=0.8"), true},
		{header("Accept-Encoding: gzip"), header("Accept-Encoding: x-gzip"), true},
		{header("Accept-Encoding: gzip"), header("Accept-Encoding: gzip, br"), false},
		{header("Accept-Encoding: "), header("Accept-Encoding: identity"), true},
		{header(), header("Accept-Encoding: identity"), false},
		{header(), header("Accept-Encoding: "), false},
		{header(), header("Accept-Encoding: *"), false},
	} {
		if got := httpcache.VaryMatch(names, tt.a, tt.b); got != tt.same {
			t.Errorf("%v and %v: match %v", tt.a, tt.b, got)
		}
		if got := string(httpcache.VariantKey(nil, "k", names, tt.a)) == string(httpcache.VariantKey(nil, "k", names, tt.b)); got != tt.same {
			t.Errorf("%v and %v: equal keys %v", tt.a, tt.b, got)
		}
	}
	dst, h := make([]byte, 0, 256), header("Accept-Encoding: gzip, deflate, br, zstd")
	if n := testing.AllocsPerRun(100, func() { httpcache.VariantKey(dst, "primary", names, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFillEncoding(t *testing.T) {
	for _, tt := range []struct {
		about  string
		route  Route
		client http.Header
		want   []string
	}{
		{"absent stays absent: any coding is acceptable (RFC 9110 §12.5.3)", Route{}, header(), nil},
		{"empty: only identity is", Route{}, header("Accept-Encoding: "), []string{"identity"}},
		{"one spelling", Route{}, header("Accept-Encoding: br, gzip;q=0.5, deflate"), []string{"gzip, br"}},
		{"one spelling, all fields", Route{ForwardHeaders: ForwardAll}, header("Accept-Encoding: br", "Accept-Encoding: x-gzip"), []string{"gzip, br"}},
		{"declared: part of the key as it is", Route{Headers: []string{"Accept-Encoding"}}, header("Accept-Encoding: br, x-gzip"), []string{"br, x-gzip"}},
		{"compressed here", Route{Compression: httpcache.Zstd}, header("Accept-Encoding: br"), []string{"identity"}},
		{"compressed here, absent", Route{Compression: httpcache.Gzip}, header(), []string{"identity"}},
	} {
		if got := tt.route.FillHeader(tt.client, nil)["Accept-Encoding"]; !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.about, got, tt.want)
		}
	}
}

// Where all fields are forwarded, those that are known to make gateways and frameworks take the request for another one, or answer it in
// another form, are part of the key; everything else that reaches a shared fill is left to Vary (RFC 9111 §4.1), or selects by itself.
func TestWhatReroutesIsKeyed(t *testing.T) {
	leftToVary := []string{
		"Save-Data", "Purpose", "Sec-Purpose", "Prefer", "Tracestate", "Via", "Cdn-Loop", "User-Agent", "Origin", "Referer", "Dnt",
		"Upgrade-Insecure-Requests", "X-Real-Ip", "True-Client-Ip", "Client-Ip", "Cf-Connecting-Ip",
		"X-Original-Forwarded-For", "X-Request-Start", "Accept", "X-Api-Key", "X-Theme",
	}
	r := Route{ForwardHeaders: ForwardAll}
	target := httpcache.Target{Scheme: "http", Host: "shop.example", Path: "/a"}
	plain := string(r.AppendKey(nil, target, target.Host, "", http.Header{}))
	for _, name := range append([]string{
		"X-Forwarded", "Forwarded-Host", "Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Host", "X-Original-Url", "X-Original-Uri",
		"X-Rewrite-Url", "X-Original-Path", "X-Envoy-Original-Path", "X-Ms-Original-Url", "X-Waws-Unencoded-Url", "X-Matched-Path",
		"X-Invoke-Path", "X-Invoke-Query", "X-Middleware-Subrequest", "X-Middleware-Rewrite", "X-Now-Route-Matches", "X-Nextjs-Data", "Rsc",
		"Next-Router-Prefetch", "X-Inertia", "Surrogate-Capability", "X-Url-Scheme", "X-Scheme", "X-Http-Host", "X-Server-Name", "X-Backend-Host",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "Content-Type", "Front-End-Https", "X-Arr-Ssl", "X_Forwarded_Host",
		"X-Original-Host", "X-Original-Scheme", "X-Original-Anything", "X-Rewrite-Uri", "X-Rewrite-Path", "X-Rewritten-Url", "X-Forward-Host", "X-Forwarder-For",
		"X-Forwarded-Anything", "X-Backend-Server", "X-Upstream-Host", "X-Hostname", "X-Http-Host-Override", "X-Http-Path-Info", "X-Http-Destinationurl", "X-Override-Url",
		"X-Path-Prefix", "X-Script-Name", "X-Request-Uri", "Request-Uri", "Destination", "Base-Url", "Proxy-Host",
		"X-Astro-Path", "X-Astro-Locals", "X-Sveltekit-Action", "X-Sveltekit-Invalidated", "X-Inertia-Partial-Data", "X-Inertia-Partial-Component",
		"X-Inertia-Version", "Hx-Request", "Hx-Target", "Hx-Boosted", "X-Pjax", "X-Pjax-Container", "Turbo-Frame", "X-Turbo-Request-Id", "X-Up-Target",
		"X-Livewire", "X-Requested-With", "X-Remix-Reload-Document", "X-Nuxt-Prerender-Cache",
	}, leftToVary...) {
		h := http.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, name: {"probe=1"}}
		sent := len(r.FillHeader(h, nil)[name]) > 0
		keyed := string(r.AppendKey(nil, target, target.Host, "", h)) != plain
		if left := slices.Contains(leftToVary, name); sent && !keyed != left || left && !sent {
			t.Errorf("%s: sent %v, keyed %v", name, sent, keyed)
		}
	}
}

// On a route that forwards listed fields, an answer that names in Vary by what it was reshaped is shared by that.
func TestVarySelectsWhatReshapes(t *testing.T) {
	h := http.Header{"Hx-Request": {"true"}}
	if got := (&Route{}).FillHeader(h, []string{"Hx-Request"}); !reflect.DeepEqual(got, h) {
		t.Errorf("%v is forwarded", got)
	}
	if names := (&Route{}).UnlistedHeaders(h, []string{"Hx-Request"}); names != nil {
		t.Errorf("%v passes", names)
	}
}

// A trace context that cannot be read is none, and an origin that fails of it does so for whoever sent it alone.
func TestFillsForwardNoBrokenTrace(t *testing.T) {
	for _, forward := range []Forwarding{ForwardListed, ForwardAll} {
		for _, lines := range [][]string{{"zz"}, {""}, {"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}, {"a", "b"}} {
			h := (&Route{ForwardHeaders: forward}).FillHeader(http.Header{"Traceparent": lines, "Tracestate": {"a=1"}}, nil)
			if h["Traceparent"] != nil || h["Tracestate"] != nil {
				t.Errorf("%q is forwarded: %v", lines, h)
			}
		}
	}
}

// What is not compared decides nothing by its length, and what is part of the key is sent as it came.
func TestFillsBoundTheTraceAndTheWay(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	long := strings.Repeat("x", 5000)
	client := http.Header{"Traceparent": {parent}, "Tracestate": {"a=1," + long}, "Baggage": {long}, "X-Cloud-Trace-Context": {long}, "B3": {"1"}, "Via": {long + ", 1.1 a"}, "Cdn-Loop": {long}}
	for _, c := range []struct {
		forward Forwarding
		keyed   []string
		want    http.Header
	}{
		{ForwardListed, nil, http.Header{"Traceparent": {parent}, "Via": {"1.1 a"}}},
		{ForwardAll, nil, http.Header{"Traceparent": {parent}, "Via": {"1.1 a"}, "B3": {"1"}}},
		{ForwardListed, []string{"Baggage", "Tracestate"}, http.Header{"Traceparent": {parent}, "Via": {"1.1 a"}, "Baggage": {long}, "Tracestate": {"a=1," + long}}},
	} {
		if got := (&Route{ForwardHeaders: c.forward, Headers: c.keyed}).FillHeader(client, nil); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v, %v: %d fields are forwarded: %v", c.forward, c.keyed, len(got), got)
		}
	}
}
