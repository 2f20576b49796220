package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	cmsToken = "cms-0123456789abcdef"
	sreToken = "sre-0123456789abcdef"
	eyeToken = "eye-0123456789abcdef"
	opsToken = "ops-0123456789abcdef"

	tokens = `
admin:
  tokens:
    - {name: cms, token: ` + cmsToken + `, allow: [purge]}
    - {name: eye, token: ` + eyeToken + `, allow: [read]}
    - {name: ops, token: ` + opsToken + `, allow: [mode]}
    - {name: sre, token: ` + sreToken + `, allow: [all]}
`
)

// Every call but health, readiness and metrics needs a token that allows it; a refused one does nothing.
func TestTokens(t *testing.T) {
	o := newOrigin(t)
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url)+tokens)
	holders := map[string]string{"none": "", "wrong": "sre-0123456789abcdeg", "cms": cmsToken, "eye": eyeToken, "ops": opsToken, "sre": sreToken}
	for _, c := range []struct{ method, target, body, allowed string }{
		{"GET", "/healthz", "", "none wrong cms eye ops sre"},
		{"GET", "/readyz", "", "none wrong cms eye ops sre"},
		{"GET", "/metrics", "", "none wrong cms eye ops sre"},
		{"DELETE", "/keys/v2:product:1", "", "cms sre"},
		{"DELETE", "/tags/catalogue", "", "cms sre"},
		{"PURGE", "/products/1", "", "cms sre"},
		{"POST", "/purge", `{"keys":["v2:product:1"]}`, "cms sre"},
		{"POST", "/purge", `{"all":true,"confirm":true}`, "sre"},
		{"PURGE", "/.*", "", "sre"},
		{"POST", "/routes/product/mode", `{"mode":"on"}`, "ops sre"},
		{"GET", "/explain?url=/products/1", "", "eye sre"},
		{"GET", "/config", "", "eye sre"},
		{"GET", "/routes", "", "eye ops sre"},
		{"GET", "/debug/pprof/cmdline", "", "eye sre"},
	} {
		for holder, token := range holders {
			fill(t, p)
			var fields []string
			if token != "" {
				fields = []string{"Authorization: Bearer " + token}
			}
			a := call(t, c.method, p.admin+c.target, c.body, fields...)
			want := http.StatusOK
			switch {
			case strings.Contains(c.allowed, holder):
			case holder == "none", holder == "wrong":
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
			if a.status != want {
				t.Errorf("%s %s with token %s: %d %s, want %d", c.method, c.target, holder, a.status, a.body, want)
			}
			if want == http.StatusUnauthorized && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("401 without a challenge (RFC 9110 §11.6.1): %v", a.header)
			}
			if want != http.StatusOK {
				wantHit(t, p.data+"/products/1", true)
			}
		}
	}
	for _, reason := range []string{"missing", "unknown", "scope"} {
		wantCounted(t, p, `cacheproxy_admin_auth_failures_total{reason="`+reason+`"}`)
	}
	if a := get(t, p.admin+"/config", "Authorization: Bearer "+sreToken); strings.Contains(a.body, "0123456789abcdef") {
		t.Errorf("/config shows a token:\n%s", a.body)
	}
	if strings.Contains(p.output(), "0123456789abcdef") {
		t.Errorf("the log shows a token:\n%s", p.output())
	}
}

// Without tokens the loopback address is enough, but not for a web page in the operator's browser.
func TestNoTokens(t *testing.T) {
	p := serveConfig(t, fmt.Sprintf(shopConfig, newOrigin(t).url))
	for _, c := range []struct {
		field  string
		status int
	}{
		{"X-Request-Id: 1", 200}, {"Origin: https://evil.example", 403}, {"Sec-Fetch-Site: cross-site", 403}, {"Host: evil.example", 403},
	} {
		if a := call(t, http.MethodDelete, p.admin+"/keys/a", "", c.field); a.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.field, a.status, a.body, c.status)
		}
	}
}

// The commands take their token from a file or from the environment, and say so when they have none.
func TestCommandToken(t *testing.T) {
	p := serveConfig(t, fmt.Sprintf(shopConfig, newOrigin(t).url)+tokens)
	file := writeFile(t, "token", cmsToken+"\n")
	purge := []string{"purge", "--key", "v2:product:1", "--admin", p.admin}
	for _, c := range []struct {
		name   string
		env    []string
		args   []string
		status int
		want   string
	}{
		{"none", nil, purge, 1, "CACHEPROXY_ADMIN_TOKEN"},
		{"file", nil, append(purge, "--token-file", file), 0, "holds everywhere"},
		{"environment", []string{"CACHEPROXY_ADMIN_TOKEN=" + cmsToken}, purge, 0, "holds everywhere"},
		{"address from the environment", []string{"CACHEPROXY_ADMIN=" + p.admin, "CACHEPROXY_ADMIN_TOKEN=" + cmsToken}, []string{"purge", "--key", "a"}, 0, "holds everywhere"},
		{"wrong", []string{"CACHEPROXY_ADMIN_TOKEN=nobody"}, purge, 1, "not known"},
		{"not allowed", []string{"CACHEPROXY_ADMIN_TOKEN=" + eyeToken}, purge, 1, "needs \"purge\""},
		{"no such file", nil, append(purge, "--token-file", "/nonexistent"), 1, "/nonexistent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := run(t, c.env, c.args...)
			if got.status != c.status || !strings.Contains(got.out+got.err, c.want) {
				t.Errorf("exit status %d, %q %q, want %d and %q", got.status, got.out, got.err, c.status, c.want)
			}
		})
	}
}
