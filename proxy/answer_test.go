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
