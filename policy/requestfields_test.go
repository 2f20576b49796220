package policy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy/httpcache"
)

// A field that is neither known to be neutral, nor forwarded, nor declared by the route sends its request past the cache.
func TestUnlistedHeaders(t *testing.T) {
	listed := &Route{Headers: []string{"X-Tenant"}, IgnoreHeaders: []string{"X-Client-*", "X-Ab-Test"}}
	tests := []struct {
		about    string
		route    *Route
		lines    []string
		selected []string
		want     string
	}{
		{"no fields", listed, nil, nil, ""},
		{"a browser", listed, []string{
			"Host: a", "User-Agent: Mozilla/5.0", "Accept: */*", "Accept-Language: de", "Accept-Encoding: gzip", "Referer: http://a/",
			"Origin: https://a", "Dnt: 1", "Sec-Gpc: 1", "Connection: keep-alive", "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors",
			"Sec-Fetch-Site: same-site", "Priority: u=1, i", "Sec-Ch-Ua: x", "Sec-Ch-Ua-Mobile: ?0", "Sec-Ch-Ua-Platform: y",
			"Upgrade-Insecure-Requests: 1", "Te: trailers", "Cache-Control: no-cache", "Pragma: no-cache", `If-None-Match: "a"`,
			"Range: bytes=0-1", "Content-Type: application/json", "Cookie: a=1",
		}, nil, ""},
		{"a chain of proxies and their traces", listed, []string{
			"Via: 1.1 a", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Host: a", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "Forwarded: for=1.1.1.1",
			"X-Real-Ip: 1.1.1.1", "Cf-Ray: 1", "Traceparent: 00", "Tracestate: a=1", "Baggage: a=1", "B3: 1", "X-B3-Traceid: 1", "X-Request-Id: 1",
			"X-Amzn-Trace-Id: 1", "X-Cloud-Trace-Context: 1", "Sentry-Trace: 1", "X-Datadog-Trace-Id: 1",
		}, nil, ""},
		{"declared and ignored", listed, []string{"X-Tenant: a", "X-Client-Version: 3", "X-Ab-Test: b"}, nil, ""},
		{"an API key", listed, []string{"X-Api-Key: k", "User-Agent: u"}, nil, "X-Api-Key"},
		{"several", listed, []string{"X-B: 1", "X-A: 1"}, nil, "X-A X-B"},
		{"what tells an origin who is in front", listed, []string{"X-Azure-Fdid: 1"}, nil, "X-Azure-Fdid"},
		{"hints that an API has asked for", listed, []string{"Sec-Ch-Viewport-Width: 320"}, nil, "Sec-Ch-Viewport-Width"},
		{"geography", listed, []string{"Cf-Ipcountry: DE"}, nil, "Cf-Ipcountry"},
		{"saving data", listed, []string{"Save-Data: on"}, nil, "Save-Data"},
		{"who the user is, by a proxy's word", listed, []string{"X-Forwarded-User: a"}, nil, "X-Forwarded-User"},
		{"another method", listed, []string{"X-Http-Method-Override: DELETE"}, nil, "X-Http-Method-Override"},
		{"an underscore is not a dash", listed, []string{"X_forwarded_for: 1", "User_agent: u"}, nil, "User_agent X_forwarded_for"},
		{"almost a family", listed, []string{"X-Clientele: 1"}, nil, "X-Clientele"},
		{"empty values count", listed, []string{"X-Api-Key: "}, nil, "X-Api-Key"},
		{"named by Vary", listed, []string{"X-Theme: dark"}, []string{"X-Theme"}, ""},
		{"named by Vary, but never forwarded", listed, []string{"X-Original-Url: /a"}, []string{"X-Original-Url"}, "X-Original-Url"},
		{"where all is forwarded", &Route{ForwardHeaders: ForwardAll}, []string{"X-Api-Key: k"}, nil, ""},
	}
	for _, tt := range tests {
		if got := strings.Join(tt.route.UnlistedHeaders(header(tt.lines...), tt.selected), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.about, got, tt.want)
		}
	}
}

func TestPlanOfUnlistedHeaders(t *testing.T) {
	route := Route{Caches: true}
	drop, key, shared := route, route, route
	ignoring := route
	ignoring.IgnoreHeaders = []string{"X*"}
	drop.OnUnlisted, key.OnUnlisted, shared.ShareAuthorized = UnlistedDrop, UnlistedKey, true
	tests := []struct {
		about    string
		route    *Route
		mode     Mode
		lines    []string
		selected []string
		action   Action
		reason   Reason
	}{
		{"bypass", &route, On, []string{"X-Api-Key: k"}, nil, PassAction, HeaderUnlisted},
		{"observe goes the same way", &route, Observe, []string{"X-Api-Key: k"}, nil, PassAction, HeaderUnlisted},
		{"off needs no reason", &route, Off, []string{"X-Api-Key: k"}, nil, PassAction, ModeOff},
		{"drop", &drop, On, []string{"X-Api-Key: k"}, nil, ReadAction, NoReason},
		{"key", &key, On, []string{"X-Api-Key: k"}, nil, ReadAction, NoReason},
		{"beside credentials, no copy answers", &route, On, []string{"X-Api-Key: k", "Authorization: Bearer a"}, nil, PassAction, Authorization},
		{"credentials alone", &route, On, []string{"Authorization: Bearer a"}, nil, CredentialsAction, Authorization},
		{"shared credentials", &shared, On, []string{"X-Api-Key: k", "Authorization: Bearer a"}, nil, PassAction, HeaderUnlisted},
		{"an older reason stays", &route, On, []string{"X-Api-Key: k", "Cookie: a=1"}, nil, PassAction, cookie},
		{"selected by Vary", &route, On, []string{"X-Theme: a"}, []string{"X-Theme"}, ReadAction, NoReason},
		{"may be a write", &route, On, []string{"X-Http-Method-Override: delete"}, nil, WriteAction, MethodUnsafe},
		{"may be a write, as CGI has it", &route, On, []string{"X_HTTP-Method_Override: PUT"}, nil, WriteAction, MethodUnsafe},
		{"may be a write, though all fields are neutral", &ignoring, On, []string{"X-Http_method: PUT"}, nil, WriteAction, MethodUnsafe},
		{"is none", &route, On, []string{"X-Method-Override: GET"}, nil, PassAction, HeaderUnlisted},
		{"may be a write, though the field is dropped", &drop, On, []string{"X-Http-Method-Override: PUT"}, nil, WriteAction, MethodUnsafe},
		{"may be a write, without a route", nil, On, []string{"X-Http-Method-Override: PUT"}, nil, WriteAction, MethodUnsafe},
		{"may be a write, whatever else", &route, On, []string{"X-Http-Method: PUT", "Cookie: a=1"}, nil, WriteAction, MethodUnsafe},
	}
	for _, tt := range tests {
		req := &http.Request{Method: "GET", Header: header(tt.lines...)}
		if action, reason := PlanRequest(tt.route, tt.mode, Asked{Request: req}, tt.selected); action != tt.action || reason != tt.reason {
			t.Errorf("%s: %v %v, want %v %v", tt.about, action, reason, tt.action, tt.reason)
		}
	}
}

// Keyed unlisted fields tell keys apart by name, number and value, and fills forward them and nothing else.
func TestUnlistedKey(t *testing.T) {
	r := &Route{OnUnlisted: UnlistedKey, IgnoreHeaders: []string{"X-Ignored"}}
	key := func(lines ...string) string {
		return string(r.AppendKey(nil, httpcache.Target{Scheme: "http", Path: "/"}, "a", "", header(lines...)))
	}
	same := [][]string{{"X-A: 1"}, {"X-A: 1", "User-Agent: u"}, {"X-A: 1", "X-Ignored: i"}, {"X-A: 1", "Accept: a"}}
	for _, lines := range same {
		if key(lines...) != key(same[0]...) {
			t.Errorf("%v has a key of its own", lines)
		}
	}
	seen := map[string][]string{}
	for _, lines := range [][]string{nil, {"X-A: 1"}, {"X-A: 2"}, {"X-B: 1"}, {"X-A: 1", "X-A: 2"}, {"X-A: 1", "X-B: 2"}, {"X-A: 1", "Origin: o"}, {"Origin: o"}} {
		k := key(lines...)
		if other, ok := seen[k]; ok {
			t.Errorf("%v and %v share a key", lines, other)
		}
		seen[k] = lines
	}
	if got := r.FillHeader(header("X-A: 1", "X-Ignored: i", "User-Agent: u"), nil); len(got) != 1 || got.Get("X-A") != "1" {
		t.Errorf("fill forwards %v", got)
	}
}

// A field that a fill sent is part of the variant, unless it is part of the key.
func TestVariantHoldsWhatWasSent(t *testing.T) {
	const fresh = "Cache-Control: max-age=60"
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	plain := Route{Headers: []string{"X-Tenant"}, Cookies: []string{"region"}}
	ignoring, keying := plain, plain
	ignoring.IgnoreHeaders, keying.Headers = []string{"Origin"}, []string{"Origin", "X-Tenant"}
	tests := []struct {
		about    string
		route    Route
		request  []string
		selected []string
		response []string
		want     []string
	}{
		{"nothing", plain, nil, nil, []string{fresh}, nil},
		{"what every fill forwards", plain, []string{"Accept: a", "Accept-Language: de", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "X-Tenant: 1", "Cookie: region=a"}, nil, []string{fresh}, nil},
		{"what another answer has named", plain, []string{"X-Theme: dark"}, []string{"X-Theme"}, []string{fresh}, []string{"X-Theme"}},
		{"and this one not", plain, []string{"X-Theme: dark"}, []string{"X-Theme"}, []string{fresh, "Vary: Accept"}, []string{"Accept", "X-Theme"}},
		{"what the request does not have", plain, nil, []string{"X-Theme"}, []string{fresh}, nil},
		{"a neutral one too", plain, []string{"User-Agent: u"}, []string{"User-Agent"}, []string{fresh}, []string{"User-Agent"}},
		{"Origin", plain, []string{"Origin: https://a"}, nil, []string{fresh}, []string{"Origin"}},
		{"Origin that is reflected", plain, []string{"Origin: https://a"}, nil, []string{fresh, "Access-Control-Allow-Origin: https://a"}, []string{"Origin"}},
		{"any Origin", plain, []string{"Origin: https://a"}, nil, []string{fresh, "Access-Control-Allow-Origin: *"}, nil},
		{"any Origin, with credentials", plain, []string{"Origin: https://a"}, nil, []string{fresh, "Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true"}, []string{"Origin"}},
		{"any Origin, and yet it varies", plain, []string{"Origin: https://a"}, nil, []string{fresh, "Access-Control-Allow-Origin: *", "Vary: Origin"}, []string{"Origin"}},
		{"Origin that is ignored", ignoring, []string{"Origin: https://a"}, nil, []string{fresh}, nil},
		{"Origin that is keyed", keying, []string{"Origin: https://a"}, nil, []string{fresh}, nil},
		{"where all is forwarded, Vary alone", Route{ForwardHeaders: ForwardAll}, []string{"Origin: https://a", "X-A: 1"}, []string{"X-A"}, []string{fresh}, nil},
	}
	for _, tt := range tests {
		v := tt.route.Judge(Fetch{
			Method: "GET", Status: 200, Header: header(tt.response...), BodyLength: 1, Received: now, Requested: now,
			Forwarded: tt.route.FillHeader(header(tt.request...), tt.selected),
		})
		if !v.Store || !slices.Equal(v.Vary, tt.want) {
			t.Errorf("%s: stored %v, varies by %v, want %v", tt.about, v.Store, v.Vary, tt.want)
		}
	}
}

func TestSelects(t *testing.T) {
	h := header("X-Theme: dark")
	for _, tt := range []struct {
		vary, selected []string
		want           bool
	}{
		{nil, nil, true},
		{nil, []string{"X-Theme"}, false},
		{[]string{"X-Theme"}, []string{"X-Theme"}, true},
		{nil, []string{"X-Absent"}, true},
		{[]string{"Accept"}, []string{"X-Absent", "X-Theme"}, false},
	} {
		if got := httpcache.Selects(tt.vary, tt.selected, h); got != tt.want {
			t.Errorf("%v for a copy that varies by %v: %v", tt.selected, tt.vary, got)
		}
	}
}

func TestCommonFieldsHaveAClass(t *testing.T) {
	seen := 0
	for name := range fieldClasses {
		if common(name) {
			seen++
		}
	}
	for _, name := range []string{
		"Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Traceparent", "Tracestate", "X-Request-Id",
	} {
		if !common(name) || classOf(name) != neutralField {
			t.Errorf("%s is %v", name, classOf(name))
		}
		seen++
	}
	if seen != 34 {
		t.Errorf("of the common fields %d have a class", seen)
	}
}

// What sends a request past the cache is named, and nothing else of it is.
func TestBypassedFor(t *testing.T) {
	r := &Route{
		Caches: true, Headers: []string{"X-Tenant"}, Cookies: []string{"region"}, IgnoreCookies: []string{"_ga*", "seen"},
		Query: Query{Include: []string{"page"}, Exclude: []string{"utm_*"}},
	}
	ignoring := &Route{IgnoreAllCookies: true, Cookies: []string{"region"}}
	for _, tt := range []struct {
		about string
		route *Route
		why   Reason
		query string
		lines []string
		want  string
	}{
		{"headers", r, HeaderUnlisted, "a=1", []string{"X-B: 1", "X-A: 1", "X-Tenant: t", "User-Agent: u", "Cookie: sid=1"}, "[X-A X-B] [] []"},
		{"parameters", r, queryUnlisted, "q=1&page=2&utm_x=3&q=2&a=", []string{"X-A: 1"}, "[] [a q] []"},
		{"a parameter that may be a value", r, queryUnlisted, "secret&q=1", nil, "[] [q …] []"},
		{"cookies", r, cookie, "q=1", []string{"Cookie: sid=1; region=eu; seen=1; _ga_1=4; a=2; sid=3"}, "[] [] [a sid]"},
		{"a declared cookie that is there twice", r, cookie, "", []string{"Cookie: region=eu; region=us"}, "[] [] [region]"},
		{"where all others are ignored", ignoring, cookie, "", []string{"Cookie: sid=1; region=eu; region=us"}, "[] [] [region]"},
		{"another reason", r, ModeOff, "q=1", []string{"X-A: 1", "Cookie: sid=1"}, "[] [] []"},
		{"no route", nil, NoRoute, "q=1", []string{"X-A: 1"}, "[] [] []"},
	} {
		asked := Asked{Request: &http.Request{Method: "GET", Header: header(tt.lines...)}, Target: httpcache.Target{Query: tt.query}}
		headers, parameters, cookies := tt.route.BypassedFor(tt.why, asked, nil)
		if got := fmt.Sprint(headers, parameters, cookies); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.about, got, tt.want)
		}
	}
}
