package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081}

// serveAt serves a request that came in at a local address.
func serveAt(l *listener, local net.Addr, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if local != nil {
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Add(name, value); name == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	New(l.Options).ServeHTTP(w, r)
	return w
}

func TestTokens(t *testing.T) {
	tokens := []Token{
		{Name: "cms", Secret: "s-cms", Allow: ScopePurge},
		{Name: "old-cms", Secret: "s-old", Allow: ScopePurge},
		{Name: "grafana", Secret: "s-read", Allow: ScopeRead},
		{Name: "oncall", Secret: "s-mode", Allow: ScopeMode | ScopeRead},
		{Name: "sre", Secret: "s-all", Allow: ScopeAll},
		{Name: "none", Secret: "s-none"},
		{Name: "unset", Secret: "", Allow: ScopeAll},
	}
	const purge, read, mode = "DELETE /keys/a", "GET /config", "POST /routes/stock/mode"
	for _, c := range []struct {
		call, authorization string
		status              int
		who                 string
	}{
		{purge, "Bearer s-cms", 200, "cms"},
		{purge, "bearer s-old", 200, "old-cms"},
		{purge, "Bearer s-all", 200, "sre"},
		{purge, "Bearer s-read", 403, ""},
		{purge, "Bearer s-mode", 403, ""},
		{purge, "Bearer s-none", 403, ""},
		{purge, "Bearer s-cm", 401, ""},
		{purge, "Bearer s-cmss", 401, ""},
		{purge, "Bearer ", 401, ""},
		{purge, "Bearer", 401, ""},
		{purge, "s-cms", 401, ""},
		{purge, "Basic s-cms", 401, ""},
		{purge, "", 401, ""},
		{"PURGE /a", "", 401, ""},
		{"PURGE /a", "Bearer s-cms", 200, "cms"},
		{"POST /purge", "Bearer s-read", 403, ""},
		{read, "Bearer s-read", 200, ""},
		{read, "Bearer s-cms", 403, ""},
		{"GET /explain?url=/", "Bearer s-cms", 403, ""},
		{"GET /debug/pprof/", "Bearer s-cms", 403, ""},
		{"GET /debug/pprof/", "Bearer s-mode", 200, ""},
		{mode, "Bearer s-mode", 400, ""}, // no body: admitted
		{mode, "Bearer s-cms", 403, ""},
		{"GET /nothing", "", 401, ""}, // what is not there is told to nobody
		{"GET /nothing", "Bearer s-none", 404, ""},
		{"DELETE /keys/", "", 401, ""},
		{"GET /healthz", "", 200, ""},
		{"GET /readyz", "Bearer wrong", 200, ""},
		{"GET /metrics", "", 200, ""},
	} {
		l := newListener(tokens...)
		method, target, _ := strings.Cut(c.call, " ")
		var header []string
		if c.authorization != "" {
			header = []string{"Authorization: " + c.authorization}
		}
		// Tokens are not ambient, so with them neither Host nor Origin nor the listener's address matter.
		header = append(header, "Origin: http://evil.example", "Host: evil.example")
		w := serveAt(l, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8081}, method, target, header...)
		if w.Code != c.status {
			t.Errorf("%s with %q: %d %s, want %d", c.call, c.authorization, w.Code, w.Body, c.status)
		}
		if got := w.Header().Get("WWW-Authenticate"); strings.HasPrefix(got, "Bearer ") != (c.status == 401) {
			t.Errorf("%s with %q: WWW-Authenticate %q", c.call, c.authorization, got)
		}
		if c.who != "" && l.who() != c.who {
			t.Errorf("%s with %q: purged by %q", c.call, c.authorization, l.who())
		}
		if c.who == "" && len(l.purges) > 0 {
			t.Errorf("%s with %q: purged", c.call, c.authorization)
		}
		if refused := c.status == 401 || c.status == 403; refused != strings.Contains(l.log.String(), "refuse admin call") && c.status != 400 {
			t.Errorf("%s with %q: log %q", c.call, c.authorization, l.log)
		}
		for _, token := range tokens {
			if token.Secret != "" && strings.Contains(l.log.String()+w.Body.String(), token.Secret) {
				t.Errorf("%s with %q: secret told: %s %s", c.call, c.authorization, l.log, w.Body)
			}
		}
	}
}

func TestTwoAuthorizationFields(t *testing.T) {
	l := newListener(Token{Name: "sre", Secret: "s", Allow: ScopeAll})
	w := serveAt(l, loopback, "DELETE", "/keys/a", "Authorization: Bearer s", "Authorization: Bearer wrong")
	if w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNoTokens(t *testing.T) {
	own := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5), Port: 8081}
	for _, c := range []struct {
		name   string
		local  net.Addr
		call   string
		header []string
		status int
	}{
		{"address", loopback, "DELETE /keys/a", []string{"Host: 127.0.0.1:8081"}, 200},
		{"own address", own, "DELETE /keys/a", []string{"Host: 127.0.0.5:8081"}, 200},
		{"name", loopback, "DELETE /keys/a", []string{"Host: LocalHost:8081"}, 200},
		{"no port", loopback, "DELETE /keys/a", []string{"Host: localhost"}, 200},
		{"IPv6", &net.TCPAddr{IP: net.IPv6loopback, Port: 8081}, "DELETE /keys/a", []string{"Host: [::1]:8081"}, 200},
		{"IPv6 without port", &net.TCPAddr{IP: net.IPv6loopback, Port: 8081}, "DELETE /keys/a", []string{"Host: [::1]"}, 200},
		{"mapped", &net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1"), Port: 8081}, "DELETE /keys/a", []string{"Host: localhost"}, 200},

		{"other machine", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8081}, "DELETE /keys/a", []string{"Host: 10.0.0.1:8081"}, 403},
		{"other machine, read", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8081}, "GET /config", []string{"Host: 10.0.0.1:8081"}, 403},
		{"other machine, profile", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8081}, "GET /debug/pprof/heap", []string{"Host: 10.0.0.1:8081"}, 403},
		{"address unknown", nil, "DELETE /keys/a", []string{"Host: localhost"}, 403},
		{"health is for all", nil, "GET /healthz", []string{"Host: x"}, 200},
		{"rebound name", loopback, "DELETE /keys/a", []string{"Host: evil.example:8081"}, 403},
		{"rebound name, read", loopback, "GET /config", []string{"Host: evil.example:8081"}, 403},
		{"name like an address", loopback, "DELETE /keys/a", []string{"Host: 127.0.0.1.evil.example"}, 403},
		{"another's address", loopback, "DELETE /keys/a", []string{"Host: 10.0.0.1:8081"}, 403},
		{"no host", loopback, "DELETE /keys/a", []string{"Host: "}, 403},
		{"web page", loopback, "DELETE /keys/a", []string{"Host: localhost", "Origin: http://localhost"}, 403},
		{"sandboxed page", loopback, "POST /purge", []string{"Host: localhost", "Origin: null"}, 403},
		{"empty origin", loopback, "POST /purge", []string{"Host: localhost", "Origin: "}, 403},
		{"image in a page", loopback, "GET /debug/pprof/", []string{"Host: localhost", "Sec-Fetch-Site: cross-site"}, 403},
		{"address bar", loopback, "GET /config", []string{"Host: localhost", "Sec-Fetch-Site: none"}, 200},
		{"site to purge", loopback, "PURGE /a", []string{"Host: shop.example"}, 200},
		{"site to purge, by a page", loopback, "PURGE /a", []string{"Host: shop.example", "Origin: http://shop.example"}, 403},
	} {
		l := newListener()
		method, target, _ := strings.Cut(c.call, " ")
		w := serveAt(l, c.local, method, target, c.header...)
		if w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
		if c.status == 403 && len(l.purges) > 0 {
			t.Errorf("%s: purged", c.name)
		}
	}
}

// A server whose tokens are all unusable must not fall back to none being configured.
func TestOnlyEmptySecrets(t *testing.T) {
	l := newListener(Token{Name: "sre", Allow: ScopeAll})
	if w := serveAt(l, loopback, "DELETE", "/keys/a", "Host: localhost", "Authorization: Bearer "); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestScopes(t *testing.T) {
	for word, want := range map[string]Scope{"purge": ScopePurge, "mode": ScopeMode, "read": ScopeRead, "all": ScopeAll} {
		if got := want.String(); got != word {
			t.Errorf("%s: %v", word, got)
		}
	}
	if got := (ScopeMode | ScopeRead).String(); got != "mode, read" {
		t.Error(got)
	}
}
