package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// What each policy decides by itself, and what follows from the upstream.
func TestPresets(t *testing.T) {
	s := mustLoad(t, `
upstreams: [{name: api, url: "http://127.0.0.1:9000", timeout: 3s, host: fixed.example}]
routes:
  - {name: cache-aside, match: GET /a, policy: cache-aside}
  - {name: read-through, match: GET /b, policy: read-through}
  - {name: write-through, match: /c, policy: write-through}
  - {name: refresh-ahead, match: GET /d, policy: refresh-ahead}
  - {name: bypass, match: /, policy: bypass}
`)
	for _, r := range s.Routes {
		if r.Policy.String() != r.Name || r.Upstream != "api" || r.Host.Literal != "fixed.example" || r.TTL != 0 || r.Mode != policy.On {
			t.Errorf("%s: %+v", r.Name, r)
		}
		if r.FenceHold != 6*time.Second || r.Query.Unlisted != policy.UnlistedBypass {
			t.Errorf("%s: fence_hold %v, query %+v", r.Name, r.FenceHold, r.Query)
		}
		caches := r.Policy != policy.Bypass
		if got := r.Jitter == 0.10 && r.MaxWaiters == 10_000 && r.WaitTimeout == 3*time.Second; got != caches {
			t.Errorf("%s: jitter %v, max_waiters %d, wait_timeout %v", r.Name, r.Jitter, r.MaxWaiters, r.WaitTimeout)
		}
		if r.Caches != caches || r.RefusesReads != (r.Policy == policy.ReadThrough) || r.FencesWrites != (r.Policy == policy.WriteThrough) ||
			r.RefusesWrites != r.FencesWrites || r.RenewsAhead != (r.Policy == policy.RefreshAhead) {
			t.Errorf("%s decides %+v", r.Name, r)
		}
		ahead := r.Policy == policy.RefreshAhead
		if got := r.RefreshAt == 0.80 && r.MinHits == 2; got != ahead {
			t.Errorf("%s: refresh_at %v, min_hits %d", r.Name, r.RefreshAt, r.MinHits)
		}
	}
}

func TestRouteValues(t *testing.T) {
	s := mustLoad(t, oneUpstream+`
routes:
  - name: product
    match: ["GET /products/{id}", "PUT /products/{id}"]
    where: {id: "[0-9]+"}
    policy: write-through
    mode: observe
    mode_share: 25%
    key: "p:{id}:{header.x-tenant}:{cookie.region}:{query.page}"
    tags: ["t:{header.X-Shop}"]
    query: {include: [page], sort: true, unlisted: drop}
    headers: [accept-language]
    cookies: [shop]
    ttl: 10m
    jitter: 0%
    stale_while_revalidate: 30s
    stale_if_error: 5m
    negative_ttl: 10s
    override: [max-age, must-revalidate]
    store_if: {content_type: [image/*, Application/JSON], min_bytes: 2}
    compression: br
    ignore_cookies: [b, a, b]
    strip_set_cookie: true
    share_authorized: true
    max_waiters: 7
    wait_timeout: 1s
    on_write: store
    store_down: forward
    fence_hold: 20s
    invalidates: {keys: ["{body.id}"], urls: [/x], prefixes: [/y], routes: [list], otherwise: {tags: [all]}}
  - {name: list, match: GET /products, policy: refresh-ahead, refresh_at: 50%, min_hits: 0}
`)
	r := s.Routes[0]
	checks := map[string]bool{
		"mode":        r.Mode == policy.Observe && r.ModeShare == 0.25,
		"where":       r.Where[policy.Placeholder{Kind: policy.FromWildcard, Name: "id"}].String() == "[0-9]+",
		"headers":     slices.Equal(r.Headers, []string{"Accept-Language", "X-Shop", "X-Tenant"}),
		"cookies":     slices.Equal(r.Cookies, []string{"region", "shop"}),
		"query":       slices.Equal(r.Query.Include, []string{"page"}) && r.Query.Sort && r.Query.Unlisted == policy.UnlistedDrop,
		"key":         r.Key.String() == "p:{id}:{header.x-tenant}:{cookie.region}:{query.page}",
		"ttl":         r.TTL == 10*time.Minute && r.Jitter == 0 && r.NegativeTTL == 10*time.Second,
		"stale":       r.StaleWhileRevalidate == 30*time.Second && r.StaleIfError == 5*time.Minute,
		"override":    r.Override == policy.OverrideMaxAge|policy.OverrideMustRevalidate,
		"compression": r.Compression == httpcache.Brotli,
		"store_if":    slices.Equal(r.StoreIf.ContentTypes, []string{"application/json", "image/*"}) && r.StoreIf.MinBytes == 2,
		"cookie":      slices.Equal(r.IgnoreCookies, []string{"a", "b"}) && !r.IgnoreAllCookies,
		"relaxed":     r.StripSetCookie && r.ShareAuthorized && r.ForwardHeaders == policy.ForwardListed,
		"limits":      r.MaxWaiters == 7 && r.WaitTimeout == time.Second,
		"writes":      r.OnWrite == policy.OnWriteStore && !r.RefusesWrites && r.FenceHold == 20*time.Second,
		"invalidates": r.Invalidates.Keys[0].UsesBody() && len(r.Invalidates.URLs) == 1 && len(r.Invalidates.Prefixes) == 1 &&
			r.Invalidates.Routes[0] == "list" && r.Invalidates.Otherwise.Tags[0].String() == "all",
		"refresh": s.Routes[1].RefreshAt == 0.5 && s.Routes[1].MinHits == 0,
	}
	for name, ok := range checks {
		if !ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Whether a write is refused that cannot be announced is the policy's word, unless the route has one of its own.
func TestStoreDown(t *testing.T) {
	for text, want := range map[string]bool{
		"write-through": true, "write-through, store_down: reject": true, "write-through, store_down: forward": false,
		"bypass": false, "bypass, store_down: forward": false, "bypass, store_down: reject": true,
		"cache-aside": false, "cache-aside, store_down: reject": true, "read-through": false, "refresh-ahead": false,
	} {
		s := mustLoad(t, oneUpstream+"routes: [{name: a, match: /, policy: "+text+"}]")
		if got := s.Routes[0].RefusesWrites; got != want {
			t.Errorf("%s: refuses writes: %v", text, got)
		}
	}
}

// A key is an error where the route's policy does not heed it, and no error of this kind where it does.
func TestUnheededKeys(t *testing.T) {
	samples := map[string]string{
		"text": "x", "true or false": "true", "number": "1", "duration": "1s", "share": "50%", "list": "[x]", "list, or all": "[x]", "section": "{}", "section, or none": "{}",
	}
	for _, k := range routeKeys {
		for _, kind := range kinds {
			value := samples[k.is.called]
			if k.is.words != nil {
				value = k.is.words[0]
			}
			if k.heededBy == nil {
				continue
			}
			_, err := load1(t, fmt.Sprintf("%sroutes: [{name: a, match: [GET /, PUT /], policy: %s, %s: %s}]", oneUpstream, kind.name, k.name, value))
			refused := fmt.Sprintf("routes[0].%s: has no effect with policy: %s; remove it, or use policy: ", k.name, kind.name)
			if got := strings.Contains(fmt.Sprint(err), refused); got == slices.Contains(k.heededBy, kind.value) {
				t.Errorf("%s with %s: %v", k.name, kind.name, err)
			}
		}
	}
}

// What becomes of parameters that no list names depends on which lists there are.
func TestQueryUnlisted(t *testing.T) {
	for query, want := range map[string]policy.Unlisted{
		"{include: [a]}":                      policy.UnlistedBypass,
		"{exclude: [a]}":                      policy.UnlistedKey,
		"{exclude: [a], unlisted: bypass}":    policy.UnlistedBypass,
		"{include: [a], exclude: [\"b*\"]}":   policy.UnlistedBypass,
		"{include: [a], unlisted: key}":       policy.UnlistedKey,
		"{unlisted: drop}":                    policy.UnlistedDrop,
		"{include: [page], exclude: [pages]}": policy.UnlistedBypass,
	} {
		s := mustLoad(t, oneUpstream+"routes: [{name: a, match: GET /, policy: cache-aside, query: "+query+"}]")
		if got := s.Routes[0].Query.Unlisted; got != want {
			t.Errorf("%s: unlisted %d, want %d", query, got, want)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a*", "ab", true}, {"ab", "a*", true}, {"a*", "b", false},
		{"a*", "ab*", true}, {"ab*", "a*", true}, {"ab*", "ac*", false}, {"a*", "a", true}, {"ab*", "a", false},
	} {
		if got := overlap(test.a, test.b); got != test.want {
			t.Errorf("overlap(%q, %q) = %v", test.a, test.b, got)
		}
	}
}
