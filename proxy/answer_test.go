package proxy

import (
	"net/http"
	"strings"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/test/wire"
)

// A gateway has no tunnel to offer, on any route and to whatever authority.
func TestConnectIsRefused(t *testing.T) {
	r := newRig(t, func(http.ResponseWriter, *http.Request) { t.Error("reached the upstream") }, rigOptions{},
		routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.Bypass }, "/"))
	answer := wire.Send(t, r.front.Listener.Addr().String(), "CONNECT db.internal:5432 HTTP/1.1\r\nHost: db.internal:5432\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 405 ") || !strings.Contains(answer, "\r\nAllow: \r\n") || !strings.Contains(answer, "CONNECT is not possible") {
		t.Errorf("%q", answer)
	}
}

// A request that went through and has no answer gets one that says whose fault it is, and nothing about the upstream's place.
func TestFailedPassesAreAnswered(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
		}
	}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.Bypass }, "/"))
	const head = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
	for request, want := range map[string][2]string{
		"GET /" + head + "\r\n": {"HTTP/1.1 502 ", "\r\n\r\nthe upstream could not be reached or broke off\n"},
		"POST /" + head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n": {"HTTP/1.1 400 ", "\r\n\r\nthe request body broke off or is malformed\n"},
	} {
		answer := wire.Send(t, r.front.Listener.Addr().String(), request)
		if !strings.HasPrefix(answer, want[0]) || !strings.Contains(answer, want[1]) || !strings.Contains(answer, "\r\nCache-Control: no-store\r\n") {
			t.Errorf("%q: %q", request, answer)
		}
	}
}

// Where the origin fails, why it was asked is what it would have been had it answered (RFC 9211 §2.2).
func TestFailureSaysWhyItWasForwarded(t *testing.T) {
	fail := false
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if fail {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Cache-Control", "no-store")
	}, rigOptions{}, routeFor(t, "known", func(*policy.Route) {}, "/known/"), func(b *bubble) {
		for _, c := range []struct {
			method, path string
			header       []string
		}{
			{"GET", "/known/a", []string{"X-Other", "1"}}, {"PUT", "/known/a", nil}, {"DELETE", "/known/b", nil}, {"OPTIONS", "/known/a", nil},
			{"GET", "/elsewhere", nil}, {"POST", "/elsewhere", nil}, {"GET", "/known/a?b=c", []string{"Cookie", "a=b"}},
		} {
			fail = false
			well := b.do(c.method, c.path, c.header...).header.Get("Cache-Status")
			fail = true
			failed := b.do(c.method, c.path, c.header...)
			got, _, _ := strings.Cut(failed.header.Get("Cache-Status"), "; detail=")
			if want, _, _ := strings.Cut(well, "; fwd-status="); got != want || failed.status != 502 {
				t.Errorf("%s %s: %d, %s, and where the origin answers %s", c.method, c.path, failed.status, failed.header.Get("Cache-Status"), well)
			}
		}
	})
}
