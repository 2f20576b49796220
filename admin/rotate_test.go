package admin

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// A secret is rotated without a gap: the old and the new one hold while both are configured, and one that is taken away
// holds no longer, in the same handler.
func TestRotation(t *testing.T) {
	l := newListener()
	h := New(l.Options)
	try := func(secret string) int {
		t.Helper()
		r := localRequest("DELETE", "/keys/a")
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	first, second := Token{Name: "cms", Secret: "first", Allow: ScopePurge}, Token{Name: "cms-2", Secret: "second", Allow: ScopePurge}
	for _, step := range []struct {
		name   string
		tokens []Token
		status [3]int // without, with the first, with the second
	}{
		{"the old one", []Token{first}, [3]int{401, 200, 401}},
		{"both", []Token{first, second}, [3]int{401, 200, 200}},
		{"the new one", []Token{second}, [3]int{401, 401, 200}},
		{"less allowed", []Token{{Name: "cms-2", Secret: "second", Allow: ScopeRead}}, [3]int{401, 401, 403}},
		{"unusable", []Token{{Name: "cms"}}, [3]int{401, 401, 401}},
		{"none", nil, [3]int{200, 200, 200}}, // loopback is enough again
	} {
		h.SetTokens(step.tokens)
		if got := [3]int{try(""), try("first"), try("second")}; got != step.status {
			t.Errorf("%s: %v, want %v", step.name, got, step.status)
		}
	}
}

// What turns callers away is counted by its reason.
func TestRefusalsAreCounted(t *testing.T) {
	token := Token{Name: "cms", Secret: "s", Allow: ScopePurge}
	elsewhere := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8081}
	seen := map[string]bool{}
	for _, c := range []struct {
		reason string
		tokens []Token
		local  net.Addr
		call   string
		header []string
	}{
		{"missing", []Token{token}, loopback, "DELETE /keys/a", nil},
		{"malformed", []Token{token}, loopback, "DELETE /keys/a", []string{"Authorization: Basic s"}},
		{"malformed", []Token{token}, loopback, "DELETE /keys/a", []string{"Authorization: Bearer s", "Authorization: Bearer s"}},
		{"unknown", []Token{token}, loopback, "DELETE /keys/a", []string{"Authorization: Bearer x"}},
		{"scope", []Token{token}, loopback, "GET /config", []string{"Authorization: Bearer s"}},
		{"bounds", []Token{{Name: "cms", Secret: "s", Allow: ScopePurge, Sites: []string{"shop.example"}}}, loopback, "DELETE /keys/a", []string{"Authorization: Bearer s"}},
		{"not-loopback", nil, elsewhere, "GET /config", []string{"Host: 10.0.0.1:8081"}},
		{"web-page", nil, loopback, "DELETE /keys/a", []string{"Host: localhost", "Origin: null"}},
		{"host", nil, loopback, "DELETE /keys/a", []string{"Host: evil.example"}},
	} {
		l := newListener(c.tokens...)
		method, target, _ := strings.Cut(c.call, " ")
		serveAt(l, c.local, method, target, c.header...)
		if !slices.Equal(l.refused, []string{c.reason}) || !strings.Contains(l.log.String(), "reason="+c.reason) {
			t.Errorf("%s: counted %q, log %s", c.reason, l.refused, l.log)
		}
		seen[c.reason] = true
	}
	for _, reason := range Refusals() {
		if !seen[reason] {
			t.Errorf("%s is not tested", reason)
		}
	}
	l := newListener(token)
	serveAt(l, loopback, "GET", "/nothing", "Authorization: Bearer s")
	serveAt(l, loopback, "GET", "/healthz")
	if l.refused != nil {
		t.Errorf("counted although nobody was turned away: %q", l.refused)
	}
}

// Without tokens, a page in the operator's browser must not change anything, whatever a browser lets it send.
func TestWebPages(t *testing.T) {
	for _, c := range []struct {
		name, call string
		header     []string
		status     int
	}{
		{"a form, posted as text", "POST /purge", []string{"Content-Type: text/plain"}, 403},
		{"a form, posted as text, in words of its own", "POST /purge", []string{"Content-Type: Text/Plain ; charset=utf-8"}, 403},
		{"a form with files", "POST /routes/stock/mode", []string{"Content-Type: multipart/form-data; boundary=x"}, 403},
		{"curl -d", "POST /purge", []string{"Content-Type: application/x-www-form-urlencoded"}, 400}, // admitted; it has no body
		{"a client that says JSON", "POST /purge", []string{"Content-Type: application/json"}, 400},
		{"fetch, other site", "POST /purge", []string{"Content-Type: application/json", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, 403},
		{"fetch after rebinding", "DELETE /keys/a", []string{"Host: evil.example:8081", "Origin: http://evil.example:8081"}, 403},
		{"same site, other port", "GET /config", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"a link on the index of profiles", "GET /debug/pprof/cmdline", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"a page of this listener that posts", "POST /debug/pprof/symbol", []string{"Sec-Fetch-Site: same-origin", "Origin: http://localhost"}, 403},
		{"a page of this listener that deletes", "DELETE /keys/a", []string{"Sec-Fetch-Site: same-origin"}, 403},
	} {
		l := newListener()
		method, target, _ := strings.Cut(c.call, " ")
		if w := serveAt(l, loopback, method, target, append([]string{"Host: localhost"}, c.header...)...); w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
		if len(l.purges)+len(l.modes) > 0 {
			t.Errorf("%s: changed something", c.name)
		}
	}
}

func localRequest(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost"
	return withLocal(r, loopback)
}
