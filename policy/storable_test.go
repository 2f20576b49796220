package policy

import (
	"net/http"
	"testing"
	"time"

	"cacheproxy/policy/httpcache"
)

// header builds a header from lines "Name: value".
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		for i := range len(line) {
			if line[i] == ':' {
				h.Add(line[:i], line[min(i+2, len(line)):])
				break
			}
		}
	}
	return h
}

func httpDate(d time.Duration) string { return epoch.Add(d).Format(http.TimeFormat) }

// fetched is a 200 to a GET that took no time.
func fetched(lines ...string) Fetch {
	return Fetch{Method: "GET", Requested: epoch, Received: epoch, Status: 200, Header: header(lines...), BodyLength: 100}
}

func TestJudgeStore(t *testing.T) {
	const fresh = "Cache-Control: max-age=60"
	status := func(s int, lines ...string) Fetch { f := fetched(lines...); f.Status = s; return f }
	authorized := func(lines ...string) Fetch { f := fetched(lines...); f.Authorized = true; return f }
	tests := []struct {
		about string
		route Route
		f     Fetch
		want  Reason // NoReason: stored
	}{
		{"explicit freshness (RFC 9111 §3)", Route{}, fetched(fresh), NoReason},
		{"HEAD has no body to store", Route{}, Fetch{Method: "HEAD", Status: 200, Header: header(fresh)}, methodOther},
		{"POST", Route{}, Fetch{Method: "POST", Status: 200, Header: header(fresh)}, methodOther},
		{"no-store (§5.2.2.5)", Route{}, fetched(fresh + ", no-store"), noStore},
		{"no-store, overridden", Route{Override: OverrideNoStore}, fetched(fresh + ", no-store"), NoReason},
		{"no-store with must-understand, understood (§5.2.2.3)", Route{}, fetched(fresh + ", no-store, must-understand"), NoReason},
		{"must-understand, not understood (§5.2.2.3)", Route{}, status(299, fresh+", must-understand"), statusNotStored},
		{"private (§5.2.2.7)", Route{}, fetched(fresh + ", private"), private},
		{"private with must-understand", Route{}, fetched(fresh + ", no-store, private, must-understand"), private},
		{"qualified private, read as private", Route{}, fetched(fresh + `, private="x-user"`), private},
		{"private, overridden", Route{Override: OverridePrivate}, fetched(fresh + ", private"), NoReason},
		{"one override does not lift the other", Route{Override: OverridePrivate}, fetched(fresh + ", private, no-store"), noStore},
		{"malformed Cache-Control", Route{}, fetched(fresh + `, x="`), cacheControlMalformed},
		{"malformed Cache-Control on a route with ttl", Route{TTL: time.Minute}, fetched("Cache-Control: public; max-age=60"), cacheControlMalformed},
		{"a restriction behind a semicolon", Route{TTL: time.Minute, StaleIfError: time.Hour}, fetched("Cache-Control: max-age=0; private", `ETag: "a"`), cacheControlMalformed},
		{"behind a space", Route{TTL: time.Minute, StaleWhileRevalidate: time.Hour}, fetched("Cache-Control: max-age=60 no-store"), cacheControlMalformed},
		{"in another line", Route{TTL: time.Minute}, fetched(fresh, "Cache-Control: x;private"), cacheControlMalformed},
		{"an error", Route{}, status(503, "Cache-Control: max-age=60; private"), cacheControlMalformed},
		{"overridden: what can be read counts", Route{Override: OverrideMalformed}, fetched(fresh, "Cache-Control: stale; x"), NoReason},
		{"overridden, on a route with ttl", Route{TTL: time.Minute, Override: OverrideMalformed}, fetched("Cache-Control: public; max-age=60"), NoReason},
		{"overridden: what is hidden forbids all the same", Route{TTL: time.Minute, Override: OverrideMalformed}, fetched("Cache-Control: max-age=60; private"), private},
		{"overridden, hidden no-store", Route{TTL: time.Minute, Override: OverrideMalformed}, fetched("Cache-Control: s-maxage=60 no-store"), noStore},
		{"both overridden", Route{TTL: time.Minute, Override: OverrideMalformed | OverridePrivate}, fetched("Cache-Control: x; private"), NoReason},
		{"overridden: no permission is made of it", Route{Override: OverrideMalformed}, authorized(fresh, "Cache-Control: x; must-revalidate", "Cache-Control: y; public"), authorizedShare},
		{"other overrides do not lift it", Route{TTL: time.Minute, Override: ^OverrideMalformed}, fetched("Cache-Control: max-age=60; private"), cacheControlMalformed},
		{"Pragma alone, with more in it (§5.4)", Route{TTL: time.Minute}, fetched("Pragma: x; no-cache"), NoReason},
		{"Pragma alone, with more in it, on a route without ttl", Route{}, fetched("Pragma: x; no-cache", "Expires: "+httpDate(time.Minute)), noFreshness},
		{"contradictory Content-Length (RFC 9110 §8.6)", Route{}, fetched(fresh, "Content-Length: 5", "Content-Length: 6"), malformedHeader},
		{"contradictory Content-Length in one line", Route{}, fetched(fresh, "Content-Length: 5, 6"), malformedHeader},
		{"repeated Content-Length", Route{}, fetched(fresh, "Content-Length: 5, 5"), NoReason},

		{"Authorization (§3.5)", Route{}, authorized(fresh), authorizedShare},
		{"Authorization and public (§3.5)", Route{}, authorized(fresh + ", public"), NoReason},
		{"Authorization and s-maxage (§3.5)", Route{}, authorized("Cache-Control: s-maxage=60"), NoReason},
		{"Authorization and must-revalidate (§3.5)", Route{}, authorized(fresh + ", must-revalidate"), NoReason},
		{"Authorization and proxy-revalidate is not enough (§3.5)", Route{}, authorized(fresh + ", proxy-revalidate"), authorizedShare},
		{"Authorization and a public that is none", Route{}, authorized(fresh + ", public=maybe"), authorizedShare},
		{"Authorization and must-revalidate, not fresh", Route{}, authorized("Cache-Control: max-age=0, must-revalidate", `ETag: "a"`), authorizedShare},
		{"Authorization, public, always to be confirmed", Route{}, authorized("Cache-Control: public, no-cache", `ETag: "a"`), authorizedShare},
		{"Authorization and an s-maxage that is none", Route{TTL: time.Minute}, authorized("Cache-Control: s-maxage=x", `ETag: "a"`), authorizedShare},
		{"Authorization, shared by the route", Route{ShareAuthorized: true}, authorized(fresh), NoReason},
		{"Authorization and an overridden must-revalidate", Route{Override: OverrideMustRevalidate}, authorized(fresh + ", must-revalidate"), authorizedShare},

		{"Set-Cookie (§7.3)", Route{}, fetched(fresh, "Set-Cookie: a=1"), setCookie},
		{"Set-Cookie, stripped", Route{StripSetCookie: true}, fetched(fresh, "Set-Cookie: a=1"), NoReason},
		{"Set-Cookie2, which RFC 6265 makes obsolete", Route{}, fetched(fresh, "Set-Cookie2: a=1"), setCookie},
		{"Set-Cookie for everyone (§7.3)", Route{Override: OverrideSetCookie}, fetched(fresh, "Set-Cookie: a=1"), NoReason},
		{"Set-Cookie for everyone is not private for everyone", Route{Override: OverrideSetCookie}, fetched(fresh+", private", "Set-Cookie: a=1"), private},
		{"Vary: * (§4.1)", Route{}, fetched(fresh, "Vary: Accept, *"), varyStar},
		{"Vary of no field name", Route{}, fetched(fresh, "Vary: Accept Encoding"), varyStar},

		{"206 (§3.3)", Route{}, status(206, fresh, "Content-Range: bytes 0-1/2"), Partial},
		{"Content-Range has no meaning on 200 (RFC 9110 §14.4)", Route{}, fetched(fresh, "Content-Range: bytes 0-1/2"), NoReason},
		{"304 is no response to store", Route{}, status(304, fresh), statusNotStored},
		{"1xx is not final (§3)", Route{}, status(103, fresh), statusNotStored},
		{"no status at all", Route{}, status(0, fresh), statusNotStored},
		{"any final status with explicit freshness (§3)", Route{}, status(299, fresh), NoReason},
		{"503 with explicit freshness", Route{}, status(503, fresh), NoReason},
		{"302 with explicit freshness (RFC 9110 §15.4.3)", Route{}, status(302, fresh), NoReason},
		{"307 with Expires", Route{}, status(307, "Expires: "+httpDate(time.Minute)), NoReason},
		{"302 without", Route{TTL: time.Minute}, status(302), statusNotStored},
		{"307 without, but a validator", Route{TTL: time.Minute}, status(307, `ETag: "a"`), statusNotStored},
		{"201 without", Route{TTL: time.Minute}, status(201), statusNotStored},
		{"500 gets no ttl of the route", Route{TTL: time.Minute, NegativeTTL: time.Minute}, status(500), statusNotStored},
		{"501 gets no ttl of the route", Route{TTL: time.Minute, NegativeTTL: time.Minute}, status(501), noFreshness},
		{"404 without negative ttl", Route{TTL: time.Minute}, status(404), noFreshness},
		{"404 without negative ttl, that has not changed for long", Route{TTL: time.Minute}, status(404, "Last-Modified: "+httpDate(-time.Hour)), noFreshness},
		{"404 by heuristic, where the route leaves it to the API", Route{}, status(404, "Last-Modified: "+httpDate(-time.Hour)), NoReason},
		{"405 by heuristic, not beside a ttl", Route{TTL: time.Minute}, status(405, "Last-Modified: "+httpDate(-time.Hour)), noFreshness},
		{"404 with negative ttl", Route{NegativeTTL: time.Second}, status(404), NoReason},
		{"428 (RFC 6585 §3)", Route{TTL: time.Minute}, status(428, fresh), statusNotStored},
		{"429 (RFC 6585 §4)", Route{TTL: time.Minute}, status(429, fresh), statusNotStored},
		{"431 (RFC 6585 §5)", Route{TTL: time.Minute}, status(431, fresh), statusNotStored},
		{"511 (RFC 6585 §6)", Route{TTL: time.Minute}, status(511, fresh), statusNotStored},
		{"410 with negative ttl", Route{NegativeTTL: time.Second}, status(410), NoReason},
		{"405 has neither (RFC 9110 §15.1)", Route{TTL: time.Minute, NegativeTTL: time.Second}, status(405), noFreshness},
		{"405 by heuristic", Route{}, status(405, "Last-Modified: "+httpDate(-time.Hour)), NoReason},
		{"403 has no heuristic", Route{}, status(403, "Last-Modified: "+httpDate(-time.Hour)), statusNotStored},
		{"403 marked public has (§4.2.2)", Route{}, status(403, "Cache-Control: public", "Last-Modified: "+httpDate(-time.Hour)), NoReason},

		{"no lifetime, no validator", Route{}, fetched(), noFreshness},
		{"no lifetime, ETag", Route{}, fetched(`ETag: "a"`), NoReason},
		{"no lifetime, ETag without quotes", Route{}, fetched("ETag: a"), NoReason},
		{"no lifetime, ETag that would be read as any", Route{}, fetched("ETag: *"), noFreshness},
		{"no lifetime, ETag that would be read as a list", Route{}, fetched("ETag: a, b"), noFreshness},
		{"no lifetime, Last-Modified of now", Route{}, fetched("Last-Modified: " + httpDate(0)), NoReason},
		{"max-age=0, no validator", Route{TTL: time.Minute}, fetched("Cache-Control: max-age=0"), noFreshness},
		{"max-age=0, stale-while-revalidate", Route{}, fetched("Cache-Control: max-age=0, stale-while-revalidate=9"), NoReason},
		{"no-cache, no validator", Route{TTL: time.Minute}, fetched("Cache-Control: no-cache, max-age=60"), noFreshness},
		{"no-cache, validator", Route{}, fetched("Cache-Control: no-cache", `ETag: "a"`), NoReason},
		{"stale on arrival, no validator", Route{}, fetched(fresh, "Age: 60"), noFreshness},
		{"past its lifetime by Date alone", Route{}, fetched(fresh, "Date: "+httpDate(-time.Minute)), clockBehind},
		{"by Date, and by Age as well", Route{}, fetched(fresh, "Date: "+httpDate(-time.Minute), "Age: 60"), noFreshness},
		{"by Date, where the lifetime is the route's", Route{TTL: time.Minute}, fetched("Date: " + httpDate(-time.Minute)), NoReason},
		{"a validator does not help a 404", Route{}, status(404, `ETag: "a"`), noFreshness},

		{"too large", Route{}, Fetch{Method: "GET", Status: 200, Header: header(fresh), BodyLength: 101, MaxObject: 100}, TooLarge},
		{"as large as allowed", Route{}, Fetch{Method: "GET", Status: 200, Header: header(fresh), BodyLength: 100, MaxObject: 100}, NoReason},
		{"length not known", Route{StoreIf: StoreIf{MinBytes: 2}}, Fetch{Method: "GET", Status: 200, Header: header(fresh), BodyLength: -1, MaxObject: 100}, NoReason},
		{"too small", Route{StoreIf: StoreIf{MinBytes: 101}}, fetched(fresh), TooSmall},
		{"content type of the list", Route{StoreIf: StoreIf{ContentTypes: []string{"application/json"}}}, fetched(fresh, "Content-Type: Application/JSON ; charset=utf-8"), NoReason},
		{"content type by family", Route{StoreIf: StoreIf{ContentTypes: []string{"image/*"}}}, fetched(fresh, "Content-Type: image/png"), NoReason},
		{"content type of another family", Route{StoreIf: StoreIf{ContentTypes: []string{"image/*"}}}, fetched(fresh, "Content-Type: imagex/png"), contentTypeOther},
		{"no content type", Route{StoreIf: StoreIf{ContentTypes: []string{"image/*"}}}, fetched(fresh), contentTypeOther},
		{"two content types", Route{StoreIf: StoreIf{ContentTypes: []string{"image/*"}}}, fetched(fresh, "Content-Type: image/png", "Content-Type: text/html"), contentTypeOther},
	}
	for _, tt := range tests {
		v := tt.route.Judge(tt.f)
		if v.Reason != tt.want || v.Store != (tt.want == NoReason) {
			t.Errorf("%s: store %v, reason %q, want %q", tt.about, v.Store, v.Reason, tt.want)
		}
		if !v.Store && v.Lifetime.State(tt.f.Received) != httpcache.Dead {
			t.Errorf("%s: not stored, but with lifetime %+v", tt.about, v.Lifetime)
		}
		if age := v.Lifetime.Age(tt.f.Received.Add(time.Second)); !tt.f.Received.IsZero() && age != time.Second && tt.f.Header["Age"] == nil {
			t.Errorf("%s: %v old a second after it came", tt.about, age)
		}
	}
}

func TestJudgeShare(t *testing.T) {
	status := func(s int, lines ...string) Fetch { f := fetched(lines...); f.Status = s; return f }
	authorized := status(503)
	authorized.Authorized = true
	tests := []struct {
		about string
		f     Fetch
		want  bool
	}{
		{"stored and fresh", fetched("Cache-Control: max-age=60"), true},
		{"stored, always validated (RFC 9111 §5.2.2.4)", fetched("Cache-Control: no-cache", `ETag: "a"`), false},
		{"stored, stale on arrival", fetched("Cache-Control: max-age=0", `ETag: "a"`), false},
		{"stored, stale on arrival but in a window", fetched("Cache-Control: max-age=0, stale-while-revalidate=60"), false},
		{"no lifetime, validator", fetched(`ETag: "a"`), false},
		{"private", fetched("Cache-Control: max-age=60, private"), false},
		{"no-store", fetched("Cache-Control: no-store"), false},
		{"Set-Cookie", fetched("Cache-Control: max-age=60", "Set-Cookie: a=1"), false},
		{"404", status(404), false},
		{"error", status(503), true},
		{"error that is private", status(503, "Cache-Control: private"), false},
		{"error that is no-store", status(503, "Cache-Control: no-store"), false},
		{"error with Set-Cookie", status(503, "Set-Cookie: a=1"), false},
		{"error with Vary: *", status(503, "Vary: *"), false},
		{"error with malformed Cache-Control", status(503, `Cache-Control: x="`), false},
		{"error to an authorized request", authorized, false},
		{"no final status", status(600), false},
	}
	for _, tt := range tests {
		if got := (&Route{}).Judge(tt.f).Share; got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
	strips := Route{StripSetCookie: true}
	if strips.Judge(status(503, "Set-Cookie: a=1")).Share {
		t.Error("an error that is not stored is shared with its Set-Cookie")
	}
}

func TestJudgeVary(t *testing.T) {
	v := (&Route{}).Judge(fetched("Cache-Control: max-age=60", "Vary: origin, Accept", "Vary: ACCEPT"))
	if len(v.Vary) != 2 || v.Vary[0] != "Accept" || v.Vary[1] != "Origin" {
		t.Errorf("Vary = %q", v.Vary)
	}
}
