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
	t.Parallel()
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

// A plugin without a secret purges its site from its address, and nothing else; check says that it can.
func TestTokenWithoutSecret(t *testing.T) {
	o := newOrigin(t, "X-Cache-Tags: cat_1,other", "Cache-Control: max-age=600")
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url)+`
admin:
  tokens:
    - {name: blog, from: [127.0.0.1], sites: [127.0.0.1], tags: [cat_], allow: [purge]}
    - {name: far, from: [192.0.2.0/24], sites: [far.example], allow: [purge]}
`)
	for _, c := range []struct {
		method, target, body string
		fields               []string
		status               int
	}{
		{"PURGE", "/products/1", "", []string{"Host: 127.0.0.1"}, 200},
		{"PURGE", "/", "", []string{"Host: 127.0.0.1", "X-Cache-Tags: cat_1"}, 200},
		{"PURGE", "/", "", []string{"Host: 127.0.0.1", "X-Cache-Tags: other"}, 403},
		{"PURGE", "/.*", "", []string{"Host: 127.0.0.1"}, 403},
		{"PURGE", "/products/1", "", []string{"Host: far.example"}, 403},
		{"PURGE", "/products/1", "", []string{"Host: 127.0.0.1", "X-Forwarded-For: 192.0.2.1"}, 401},
		{"PURGE", "/products/1", "", []string{"Host: 127.0.0.1", "Origin: http://127.0.0.1"}, 403},
		{"DELETE", "/keys/v2:product:1", "", nil, 403},
		{"POST", "/purge", `{"all":true,"confirm":true}`, nil, 403},
		{"POST", "/purge", `{"urls":["http://far.example/a"]}`, nil, 403},
		{"GET", "/config", "", nil, 403},
	} {
		fill(t, p)
		a := call(t, c.method, p.admin+c.target, c.body, c.fields...)
		if a.status != c.status {
			t.Errorf("%s %s %q: %d %s, want %d", c.method, c.target, c.fields, a.status, a.body, c.status)
		}
		wantHit(t, p.data+"/products/1", c.status != 200)
	}
	wantCounted(t, p, `cacheproxy_admin_auth_failures_total{reason="bounds"}`)
	if !strings.Contains(p.output(), "without a secret") {
		t.Errorf("no warning in %s", p.output())
	}
}
