package policy

import (
	"net/http"
	"testing"
)

func TestPlanRequest(t *testing.T) {
	aside := &Route{Caches: true}
	req := func(method string, lines ...string) *http.Request {
		return &http.Request{Method: method, Header: header(lines...)}
	}
	body := func(method string, length int64, te ...string) *http.Request {
		r := req(method)
		r.ContentLength, r.TransferEncoding = length, te
		return r
	}
	tests := []struct {
		about  string
		route  *Route
		mode   Mode
		req    *http.Request
		action Action
		reason Reason
	}{
		{"GET", aside, On, req("GET", "Accept: a", "Cache-Control: no-cache"), ReadAction, NoReason},
		{"HEAD", aside, On, req("HEAD"), ReadAction, NoReason},
		{"observed", aside, Observe, req("GET"), ReadAction, NoReason},
		{"POST (RFC 9111 §4.4)", aside, On, req("POST"), WriteAction, MethodUnsafe},
		{"PUT on a bypass route (RFC 9111 §4.4)", &Route{}, On, req("PUT"), WriteAction, MethodUnsafe},
		{"DELETE on a route switched off", aside, Off, req("DELETE"), WriteAction, MethodUnsafe},
		{"PATCH without a route", nil, On, req("PATCH"), WriteAction, MethodUnsafe},
		{"a method that is not known (RFC 9110 §9.2.1)", aside, On, req("FROB"), WriteAction, MethodUnsafe},
		{"methods are case-sensitive (RFC 9110 §9.1)", aside, On, req("get"), WriteAction, MethodUnsafe},
		{"no route", nil, On, req("GET"), PassAction, NoRoute},
		{"switched off", aside, Off, req("GET"), PassAction, ModeOff},
		{"OPTIONS", aside, On, req("OPTIONS"), PassAction, methodOther},
		{"TRACE", aside, On, req("TRACE"), PassAction, methodOther},
		{"QUERY", aside, On, req("QUERY"), PassAction, methodOther},
		{"bypass", &Route{}, On, req("GET"), PassAction, routeBypass},
		{"Upgrade (RFC 9110 §7.8)", aside, On, req("GET", "Upgrade: websocket"), PassAction, upgrade},
		{"Connection: upgrade", aside, On, req("GET", "Connection: keep-alive, UPGRADE"), PassAction, upgrade},
		{"a body", aside, On, body("GET", 3), PassAction, RequestBody},
		{"a body of unknown length", aside, On, body("GET", -1), PassAction, RequestBody},
		{"a chunked body", aside, On, body("HEAD", 0, "chunked"), PassAction, RequestBody},
		{"Range", aside, On, req("GET", "Range: bytes=0-1"), ReadAction, NoReason},
		{"Range in another unit (RFC 9110 §14.2)", aside, On, req("GET", "Range: items=0-24"), PassAction, RangeRequest},
		{"Range without a unit", aside, On, req("GET", "Range: 0-24"), PassAction, RangeRequest},
		{"Range means nothing to a HEAD (RFC 9110 §14.2)", aside, On, req("HEAD", "Range: items=0-24"), ReadAction, NoReason},
		{"Authorization", aside, On, req("GET", "Authorization: x"), CredentialsAction, Authorization},
		{"Authorization, observed", aside, Observe, req("GET", "Authorization: x"), PassAction, Authorization},
		{"Authorization and a cookie", aside, On, req("GET", "Authorization: x", "Cookie: a=1"), PassAction, Authorization},
		{"empty Authorization", aside, On, req("GET", "Authorization:"), CredentialsAction, Authorization},
		{"Authorization, shared", &Route{Caches: true, ShareAuthorized: true}, On, req("GET", "Authorization: x"), ReadAction, NoReason},
		{"Authorization, declared", &Route{Caches: true, Headers: []string{"Authorization"}}, On, req("GET", "Authorization: x"), ReadAction, NoReason},
		{"Proxy-Authorization, always", &Route{Caches: true, ShareAuthorized: true}, On, req("GET", "Proxy-Authorization: x"), PassAction, Authorization},
	}
	for _, tt := range tests {
		if action, reason := PlanRequest(tt.route, tt.mode, Asked{Request: tt.req}, nil); action != tt.action || reason != tt.reason {
			t.Errorf("%s: %v, %q; want %v, %q", tt.about, action, reason, tt.action, tt.reason)
		}
	}
}

func TestPlanCookies(t *testing.T) {
	tests := []struct {
		about string
		route Route
		lines []string
		want  Reason
	}{
		{"any", Route{}, []string{"Cookie: a=1"}, cookie},
		{"an empty field", Route{}, []string{"Cookie: "}, NoReason},
		{"ignored", Route{IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _ga=1"}, NoReason},
		{"a family is ignored", Route{IgnoreCookies: []string{"_ga*"}}, []string{"Cookie: _ga=1; _ga_1ABC2DEF34=2"}, NoReason},
		{"one is not of the family", Route{IgnoreCookies: []string{"_ga_*"}}, []string{"Cookie: _ga=1; _ga_1=2"}, cookie},
		{"one is not ignored", Route{IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _ga=1; sid=2"}, cookie},
		{"one is not ignored, on another line (RFC 9113 §8.2.3)", Route{IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _ga=1", "Cookie: sid=2"}, cookie},
		{"names are case-sensitive", Route{IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _GA=1"}, cookie},
		{"declared", Route{Cookies: []string{"region"}}, []string{"Cookie: region=eu"}, NoReason},
		{"declared and ignored", Route{Cookies: []string{"region"}, IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _ga=1;region=\"eu\"; "}, NoReason},
		{"declared, twice", Route{Cookies: []string{"region"}}, []string{"Cookie: region=eu; region=us"}, cookie},
		{"declared, twice, and all ignored", Route{Cookies: []string{"region"}, IgnoreAllCookies: true}, []string{"Cookie: region=eu; region=us"}, cookie},
		{"ignored, twice", Route{IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _ga=1; _ga=2"}, NoReason},
		{"all ignored", Route{IgnoreAllCookies: true}, []string{"Cookie: sid=1; whatever this \"is"}, NoReason},
		{"all ignored, one declared", Route{IgnoreAllCookies: true, Cookies: []string{"region"}}, []string{"Cookie: sid=1; region=eu"}, NoReason},
		{"all ignored, one declared, malformed", Route{IgnoreAllCookies: true, Cookies: []string{"region"}}, []string{"Cookie: x=\"a; region=eu"}, cookie},
		{"malformed (RFC 6265 §4.2.1)", Route{IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _ga"}, cookie},
		{"comma in a value", Route{IgnoreCookies: []string{"_ga"}}, []string{"Cookie: _ga=1,sid=2"}, cookie},
		{"quoted semicolon", Route{IgnoreCookies: []string{"_ga", "b"}}, []string{"Cookie: _ga=\"1; b=2\""}, cookie},
		{"the whole field is declared", Route{Headers: []string{"Cookie"}}, []string{"Cookie: sid=1; x"}, NoReason},
	}
	for _, tt := range tests {
		tt.route.Caches = true
		if _, got := PlanRequest(&tt.route, On, Asked{Request: &http.Request{Method: "GET", Header: header(tt.lines...)}}, nil); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.about, got, tt.want)
		}
	}
}

func TestPlanDoesNotAllocate(t *testing.T) {
	r := &Route{Caches: true, IgnoreCookies: []string{"_ga"}, Cookies: []string{"region"}}
	req := &http.Request{Method: "GET", Header: header("Accept: a", "Connection: keep-alive", "Cookie: _ga=1; region=eu")}
	if n := testing.AllocsPerRun(100, func() { PlanRequest(r, On, Asked{Request: req}, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzCookies(f *testing.F) {
	for _, seed := range []string{"a=1", "a=1; b=2", `a="x;y"`, "a", "=1", "a=1,b=2", ";;", "a==", "\x00=1"} {
		f.Add(seed)
	}
	r := Route{Caches: true, Cookies: []string{"region"}, IgnoreCookies: []string{"a"}}
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cookie": {line}}
		_, reason := PlanRequest(&r, On, Asked{Request: &http.Request{Method: "GET", Header: h}}, nil)
		if reason != NoReason {
			return
		}
		// Whoever parses the cookies leniently must find no other name in what was let through.
		for _, c := range (&http.Request{Header: h}).Cookies() {
			if c.Name != "region" && c.Name != "a" {
				t.Fatalf("%q holds %s", line, c.Name)
			}
		}
	})
}
