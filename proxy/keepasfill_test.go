package proxy

import (
	"strings"
	"testing"
	"testing/synctest"

	"cacheproxy/policy"
)

// The answer to a write becomes a copy for all only where a fill would have told the origin no more and no less.
func TestAnswerToAWriteIsKeptWhereAFillWouldHaveAskedTheSame(t *testing.T) {
	listed := func(r *policy.Route) {
		keeping["write-through"](r)
		r.Headers, r.Query = []string{"X-Tenant"}, policy.Query{Include: []string{"page"}, Unlisted: policy.UnlistedDrop}
	}
	all := func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll }
	both := []func(*policy.Route){listed, all}
	for _, c := range []struct {
		about  string
		routes []func(*policy.Route)
		target string // empty: /v/1
		header []string
		read   []string // of the read that asks for the copy
		kept   bool
	}{
		{about: "nothing said", routes: both, kept: true},
		{about: "who asks, and how", routes: both, header: []string{"User-Agent", "u", "Content-Type", "text/plain", "X-Forwarded-For", "10.0.0.1"}, kept: true},
		{about: "what is keyed", routes: []func(*policy.Route){listed}, header: []string{"X-Tenant", "a"}, read: []string{"X-Tenant", "a"}, kept: true},
		{about: "a parameter that is kept", routes: both, target: "/v/1?page=2", kept: true},
		{about: "options of the connection", routes: both, header: []string{"Connection", "keep-alive"}, kept: true},
		{about: "a field of no meaning to anybody", routes: []func(*policy.Route){all}, header: []string{"Test-Id", "1"}, kept: true},

		{about: "an address that proxies would say", routes: []func(*policy.Route){listed}, header: []string{"X-Real-Ip", "10.0.0.1"}},
		{about: "a part of it", routes: both, header: []string{"Range", "bytes=0-0"}},
		{about: "a condition", routes: both, header: []string{"If-Match", "*"}},
		{about: "a field that the route ignores", routes: []func(*policy.Route){func(r *policy.Route) { listed(r); r.IgnoreHeaders = []string{"X-*"} }}, header: []string{"X-Host", "evil.example"}},
		{about: "a field of no class", routes: []func(*policy.Route){listed}, header: []string{"Test-Id", "1"}},
		{about: "a field by which requests are routed", routes: both, header: []string{"X-Host", "evil.example"}},
		{about: "the same with an underscore", routes: both, header: []string{"X_forwarded_host", "evil.example"}},
		{about: "an API key", routes: both, header: []string{"X-Api-Key", "alice"}},
		{about: "a token of a name of its own", routes: both, header: []string{"X-Shop-Session", "alice"}},
		{about: "an idempotency key", routes: both, header: []string{"Idempotency-Key", "1"}},
		{about: "credentials", routes: both, header: []string{"Authorization", "Basic x"}},
		{about: "a cookie", routes: both, header: []string{"Cookie", "a=1"}},
		{about: "another method", routes: both, header: []string{"X-Http-Method-Override", "DELETE"}},
		{about: "a parameter that is dropped", routes: []func(*policy.Route){listed}, target: "/v/1?callback=evil"},
		{about: "a keyed field that Connection takes out", routes: []func(*policy.Route){listed}, header: []string{"X-Tenant", "a", "Connection", "X-Tenant"}, read: []string{"X-Tenant", "a"}},
		{about: "any field that Connection takes out", routes: both, header: []string{"Connection", "close, X-A"}},
		{about: "a web page", routes: []func(*policy.Route){listed}, header: []string{"Origin", "https://a.example"}, read: []string{"Origin", "https://a.example"}},
		{about: "a Host that is not keyed", routes: []func(*policy.Route){func(r *policy.Route) { listed(r); r.Host.Literal = "origin.test" }}},
	} {
		for _, change := range c.routes {
			route := keepingRoute(t, change)
			t.Run(c.about+"/"+route.Policy.String(), func(t *testing.T) {
				inBubble(t, edited(nil), rigOptions{}, route, func(b *bubble) {
					target := c.target
					if target == "" {
						target = "/v/1"
					}
					written := b.do("POST", target, c.header...)
					synctest.Wait()
					read := b.do("GET", strings.Replace(target, "?callback=evil", "", 1), c.read...)
					if kept := read.body == written.body; kept != c.kept {
						t.Errorf("the write was answered %q, a read then %q (%s); kept: %v, want %v", written.body, read.body, read.header.Get("Cache-Status"), kept, c.kept)
					}
				})
			})
		}
	}
}
