package config

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// What binds a token is read as it is meant, and one without a secret is warned about.
func TestTokenBounds(t *testing.T) {
	s := mustLoad(t, oneUpstream+`
admin:
  listen: ":8081"
  tokens:
    - {name: place, from: [10.0.3.7/24, "::1"], sites: [Shop.example], tags: [cat_], allow: [purge]}
    - {name: both, token: 0123456789abcdef, from: [10.0.4.0/24], sites: [shop.example], tags: all, allow: [purge, purge-all]}
    - {name: sre, token: 0123456789abcdeg, allow: [all]}
`)
	var got []string
	for _, token := range s.Admin.Tokens {
		got = append(got, fmt.Sprint(token.Name, token.From, token.Sites, token.Tags, token.AnyTags, token.Allow.Has(AllowPurge), token.Allow.Has(AllowPurgeAll), token.Allow.Has(AllowRead)))
	}
	want := "place[10.0.3.0/24 ::1/128] [Shop.example] [cat_] false true false false|both[10.0.4.0/24] [shop.example] [] true true true false|sre[] [] [] false true true true"
	if strings.Join(got, "|") != want {
		t.Errorf("tokens %s, want %s", strings.Join(got, "|"), want)
	}
	warned := s.Warnings.Error()
	if !strings.Contains(warned, "admin.tokens[0].from: lets whoever connects from there purge Shop.example without a secret") || strings.Contains(warned, "tokens[1]") {
		t.Errorf("warnings %s", warned)
	}
}

// Where all hosts share copies, a bound token purges them by the name of any site, and is warned about.
func TestTokenBoundsOfSharedCopies(t *testing.T) {
	for host, warned := range map[string]bool{"pass": false, "api.example": true} {
		s := mustLoad(t, fmt.Sprintf(`
upstreams: [{name: api, url: "http://127.0.0.1:9000", host: %s}]
admin: {tokens: [{name: shop, token: 0123456789abcdef, sites: [shop.example], allow: [purge]}]}
routes: [{name: all, match: GET /, policy: cache-aside, ttl: 1m}]
`, host))
		if strings.Contains(s.Warnings.Error(), "admin.tokens[0].sites: binds nothing on route all") != warned {
			t.Errorf("host: %s: warnings %s", host, s.Warnings.Error())
		}
	}
}

// What is written, what holds by default, and what a route without a word about it does are one.
func TestTagHeadersByDefault(t *testing.T) {
	byDefault := mustLoad(t, oneUpstream).TagHeaders
	if got := mustLoad(t, oneUpstream+"tag_headers: [x-tags, X-Tags]\n").TagHeaders; !slices.Equal(got, []string{"X-Tags"}) {
		t.Errorf("tag_headers %q", got)
	}
	if got := mustLoad(t, oneUpstream+"tag_headers: []\n").TagHeaders; got == nil || len(got) > 0 {
		t.Errorf("no tag_headers are %#v", got)
	}
	h := http.Header{}
	for _, name := range append([]string{"X-Tags", "Tags"}, byDefault...) {
		h[name] = []string{name}
	}
	members := func(r policy.Route) string {
		return fmt.Sprint(r.Members(&policy.Match{Route: &r}, httpcache.Target{Host: "h", Path: "/"}, "", nil, h))
	}
	if said, unsaid := members(policy.Route{TagHeaders: byDefault}), members(policy.Route{}); said != unsaid || len(byDefault) != 6 {
		t.Errorf("by default %s, and a route has %s", said, unsaid)
	}
}
