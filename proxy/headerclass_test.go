package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// echoAll answers with all that the origin saw of a request, but for what a fill says of itself and of the trace.
func echoAll(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=600")
	if vary := r.URL.Query().Get("vary"); vary != "" {
		w.Header().Set("Vary", vary)
	}
	if from := r.Header.Get("Origin"); from != "" {
		w.Header().Set("Access-Control-Allow-Origin", from)
	}
	var lines []string
	for name, values := range r.Header {
		switch name {
		case "User-Agent", "Via", "X-Request-Id", "Traceparent", "Tracestate":
		default:
			lines = append(lines, fmt.Sprintf("%s: %q", name, values))
		}
	}
	slices.Sort(lines)
	fmt.Fprintf(w, "Host: %s\n%s\n", r.Host, strings.Join(lines, "\n"))
}

// What one client says, and no key or variant holds, is in no other client's answer: neither before nor after another answer of
// the route has named the field in Vary.
func TestNoFieldOfAnotherClientIsInAnAnswer(t *testing.T) {
	routes := map[string]func(*policy.Route){
		"host passed on":       nil,
		"host of the upstream": func(r *policy.Route) { r.Host.Literal = "origin.test" },
		"host by name":         func(r *policy.Route) { r.Host.Literal = "api.internal" },
		"unlisted dropped":     func(r *policy.Route) { r.OnUnlisted = policy.UnlistedDrop },
		"unlisted keyed":       func(r *policy.Route) { r.OnUnlisted = policy.UnlistedKey },
		"all ignored":          func(r *policy.Route) { r.IgnoreHeaders = []string{"X-*", "Origin", "Save-Data", "Sec-*"} },
		"keyed":                func(r *policy.Route) { r.Headers = []string{"Origin", "X-Theme"} },
		"compression":          func(r *policy.Route) { r.Compression = httpcache.Gzip },
	}
	said := []string{
		"Origin", "X-Theme", "X-Api-Key", "X-Tenant", "X-Host", "X_Forwarded_Host", "X-Original-Url", "X-Rewrite-Url", "X-Forwarded-Host",
		"X-Forwarded-For", "X-Forwarded-Prefix", "X-Forwarded-User", "Forwarded", "X-Real-Ip", "User-Agent", "Referer", "Save-Data",
		"Sec-Ch-Viewport-Width", "X-Http-Method-Override", "X-Request-Id", "Cookie", "Authorization", "Content-Type", "Cache-Control",
	}
	for name, change := range routes {
		t.Run(name, func(t *testing.T) {
			route := routeFor(t, "all", change, "/")
			inBubble(t, echoAll, rigOptions{origin: upstream.Options{Host: route.Host}}, route, func(b *bubble) {
				passed := route.Host.Literal == ""
				ask := func(target string, header ...string) answer {
					a := b.do("GET", target, header...)
					synctest.Wait()
					return a
				}
				for round := range 2 {
					for i, field := range said {
						target := fmt.Sprintf("/%d/%d", round, i)
						ask(target, field, "evil")
						if a := ask(target); strings.Contains(a.body, "evil") || strings.Contains(fmt.Sprint(a.header), "evil") {
							t.Errorf("round %d: %s of another client is in the answer (%s): %q", round, field, a.header.Get("Cache-Status"), a.body)
						}
					}
					if !passed {
						ask(fmt.Sprintf("/%d/host", round), "Host", "evil.example")
						if a := ask(fmt.Sprintf("/%d/host", round)); strings.Contains(a.body, "evil") {
							t.Errorf("round %d: Host of another client is in the answer: %q", round, a.body)
						}
					}
					for _, field := range said { // what a Vary has named is sent on from then on, for every URL
						ask("/vary?vary="+field, field, "evil")
						ask("/vary?vary="+field, field, "evil")
					}
				}
			})
		})
	}
}

// Where the Host is not in the key, a fill says nothing of it; a request of one client's own does.
func TestFillSaysNothingOfAHostThatIsNotKeyed(t *testing.T) {
	for _, literal := range []string{"", "api.internal"} {
		route := routeFor(t, "all", func(r *policy.Route) { r.Host.Literal = literal }, "/")
		inBubble(t, echoAll, rigOptions{origin: upstream.Options{Host: route.Host}}, route, func(b *bubble) {
			want := literal == ""
			a := b.do("GET", "/a", "Host", "shop.example")
			if got := strings.Contains(a.body, "shop.example"); got != want || !strings.Contains(a.body, `Forwarded: ["`) {
				t.Errorf("Host literal %q: a fill says %q", literal, a.body)
			}
			a = b.do("GET", "/b", "Host", "shop.example", "X-Api-Key", "k")
			if !strings.Contains(a.body, `X-Forwarded-Host: ["shop.example"]`) {
				t.Errorf("Host literal %q: a request that passes says %q", literal, a.body)
			}
		})
	}
}

func TestHeaderClasses(t *testing.T) {
	cors := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		h := w.Header()
		h.Set("Cache-Control", "max-age=600")
		switch origin := r.Header.Get("Origin"); {
		case r.URL.Path == "/any":
			h.Set("Access-Control-Allow-Origin", "*")
		case origin != "":
			h.Set("Access-Control-Allow-Origin", origin)
		}
		if r.Header.Get("X-Api-Key") == "" && r.URL.Path == "/key" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return true
	}
	themed := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Cache-Control", "max-age=600")
		if r.URL.Path == "/themes" {
			w.Header().Set("Vary", "X-Theme")
		}
		return true
	}
	browser := []string{
		"User-Agent", "Mozilla/5.0", "Sec-Fetch-Mode", "cors", "Sec-Ch-Ua", "x", "Priority", "u=1", "Dnt", "1", "Referer", "http://a/",
		"Traceparent", "00-1", "X-Request-Id", "1", "X-Forwarded-User", "not believed",
	}
	runScripts(t, []script{
		{name: "an API key passes, whole and unchanged, beside a copy", origin: cors, steps: []step{
			{target: "/key", header: []string{"X-Api-Key", "k"}, body: "1", cache: "fwd=bypass; fwd-status=200; detail=header-unlisted", asked: 1},
			{target: "/key", header: []string{"X-Api-Key", "k"}, body: "2", cache: "detail=header-unlisted", asked: 2},
			{target: "/key", status: 401, body: "3", asked: 3},
			{target: "/key", header: []string{"X-Api-Key", "k"}, body: "4", cache: "detail=header-unlisted", asked: 4},
		}},
		{name: "who asks and how does not matter", origin: cors, steps: []step{
			{target: "/a", body: "1", asked: 1}, {target: "/a", header: browser, body: "1", cache: "hit", asked: 1},
		}},
		{name: "HEAD goes the same way", origin: cors, steps: []step{
			{target: "/a", body: "1", asked: 1}, {method: "HEAD", target: "/a", header: []string{"X-Api-Key", "k"}, cache: "detail=header-unlisted", asked: 2},
		}},
		{name: "each Origin has its copies, and so has none", origin: cors, steps: []step{
			{target: "/a", header: []string{"Origin", "https://a"}, body: "1", asked: 1}, {target: "/a", header: []string{"Origin", "https://b"}, body: "2", asked: 2},
			{target: "/a", body: "3", asked: 3}, {target: "/a", header: []string{"Origin", "https://a"}, body: "1", cache: "hit", asked: 3},
			{target: "/a", header: []string{"Origin", "https://b"}, body: "2", cache: "hit", asked: 3}, {target: "/a", body: "3", cache: "hit", asked: 3},
		}},
		{name: "a copy for any Origin is for all of them", origin: cors, steps: []step{
			{target: "/any", body: "1", asked: 1}, {target: "/any", header: []string{"Origin", "https://a"}, body: "1", cache: "hit", asked: 1},
			{target: "/any", header: []string{"Origin", "https://b"}, body: "1", cache: "hit", asked: 1},
		}},
		{name: "also when it was fetched for one", origin: cors, steps: []step{
			{target: "/any", header: []string{"Origin", "https://a"}, body: "1", asked: 1}, {target: "/any", header: []string{"Origin", "https://b"}, body: "1", cache: "hit", asked: 1},
		}},
		{name: "a field that Vary has named selects, also on URLs whose answers do not name it", origin: themed, steps: []step{
			{target: "/a", body: "1", asked: 1},
			{target: "/a", header: []string{"X-Theme", "dark"}, body: "2", cache: "detail=header-unlisted", asked: 2},
			{target: "/themes", header: []string{"X-Theme", "dark"}, body: "3", cache: "detail=header-unlisted", asked: 3},
			{target: "/a", header: []string{"X-Theme", "dark"}, body: "4", cache: "fwd=vary-miss; fwd-status=200; stored", asked: 4},
			{target: "/a", header: []string{"X-Theme", "dark"}, body: "4", cache: "hit", asked: 4},
			{target: "/a", header: []string{"X-Theme", "light"}, body: "5", cache: "stored", asked: 5},
		}},
	})
}
