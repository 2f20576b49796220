package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// whereTwo are routes for one URL: for requests that say who they are, and for all others.
func whereTwo(t *testing.T, change func(*policy.Route)) (chosen, usual *policy.Route) {
	usual = routeFor(t, "usual", nil, "GET /p")
	chosen = routeFor(t, "chosen", change, "GET /p")
	usual.Fingerprint, chosen.Fingerprint = 1, 2 // which are of their names too
	return chosen, usual
}

// Two routes for one URL share nothing that is kept, and whatever ends a copy by its URL ends those of both.
func TestRoutesOfOneURLShareNoCopies(t *testing.T) {
	chosen, usual := whereTwo(t, func(r *policy.Route) {
		r.Where = map[policy.Placeholder]*regexp.Regexp{{Kind: policy.FromHeader, Name: "X-App"}: regexp.MustCompile("checkout")}
		r.IgnoreHeaders = []string{"X-App"}
	})
	usual.IgnoreHeaders = []string{"X-App"}
	writes := routeFor(t, "writes", func(r *policy.Route) { r.Policy = policy.Bypass }, "PUT /p")
	fetched := 0
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		fetched++
		w.Header().Set("Cache-Control", "max-age=600")
		fmt.Fprint(w, fetched)
	}, rigOptions{routes: []*policy.Route{usual, writes}}, chosen, func(b *bubble) {
		ask := func(app string) (body string, hit bool) {
			e, err := b.proxy.Explain("GET", "http://example.com/p", http.Header{"X-App": {app}})
			if err != nil {
				t.Fatal(err)
			}
			a := b.do("GET", "http://example.com/p", "X-App", app)
			hit = strings.Contains(a.header.Get("Cache-Status"), "; hit")
			want := map[string]string{"checkout": "chosen", "display": "usual", "checkout2": "usual"}[app]
			if e.Route != want || (e.Decision == "hit") != hit || (e.Skipped == "chosen") != (want == "usual") {
				t.Errorf("%s: explained as %s of %s (skipped %q), answered with %q", app, e.Decision, e.Route, e.Skipped, a.header.Get("Cache-Status"))
			}
			return a.body, hit
		}
		for _, c := range []struct {
			name string
			end  func()
		}{
			{"nothing yet", func() {}},
			{"a write", func() { b.do("PUT", "http://example.com/p") }},
			{"a purge", func() { b.invalidate(policy.URLMembers("example.com", "/p", "", false)...) }},
		} {
			name := c.name
			c.end()
			first, hit1 := ask("checkout")
			second, hit2 := ask("display")
			if hit1 || hit2 || first == second {
				t.Errorf("after %s: %s (hit %v) and %s (hit %v), want two fetches", name, first, hit1, second, hit2)
			}
			for app, want := range map[string]string{"checkout": first, "display": second, "checkout2": second} {
				if got, hit := ask(app); got != want || !hit {
					t.Errorf("after %s: %s got %s (hit %v), want %s", name, app, got, hit, want)
				}
			}
		}
	})
}

// From whom a request is, where a proxy forwards it, is that proxy's word, if it is trusted.
func TestRouteForSomeClients(t *testing.T) {
	for _, c := range []struct {
		trusted   []netip.Prefix
		clients   string
		forwarded string
		chosen    bool
	}{
		{nil, peer, "", true},
		{nil, "10.0.0.0/8", "", false},
		{nil, "10.0.0.0/8", "10.0.0.7", false},
		{[]netip.Prefix{netip.MustParsePrefix(peer)}, "10.0.0.0/8", "10.0.0.7", true},
		{[]netip.Prefix{netip.MustParsePrefix(peer)}, "10.0.0.0/8", "10.0.0.7, 198.51.100.1", false},
		{[]netip.Prefix{netip.MustParsePrefix(peer)}, peer, "10.0.0.7", false},
		{[]netip.Prefix{netip.MustParsePrefix(peer)}, peer, "", true},
	} {
		chosen, usual := whereTwo(t, func(r *policy.Route) {
			r.Policy, r.Clients = policy.Bypass, []netip.Prefix{netip.MustParsePrefix(c.clients)}
		})
		inBubble(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{routes: []*policy.Route{usual}}, chosen, func(b *bubble) {
			b.proxy.config().Trusted = c.trusted
			a := b.do("GET", "http://example.com/p", "X-Forwarded-For", c.forwarded)
			if bypass := strings.Contains(a.header.Get("Cache-Status"), "fwd=bypass"); bypass != c.chosen {
				t.Errorf("%+v: %s", c, a.header.Get("Cache-Status"))
			}
		})
	}
}

// Who explains says from whom the request would be.
func TestExplainForAClient(t *testing.T) {
	chosen, usual := whereTwo(t, func(r *policy.Route) { r.Clients = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	inBubble(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{routes: []*policy.Route{usual}}, chosen, func(b *bubble) {
		for _, c := range []struct {
			from, route string
			noted       bool
		}{{"10.0.0.7", "chosen", false}, {"192.0.2.7", "usual", false}, {"10.0.0.7, 192.0.2.7", "usual", false}, {"", "usual", true}, {"unknown", "usual", true}} {
			header := http.Header{}
			if c.from != "" {
				header.Set("X-Forwarded-For", c.from)
			}
			e, err := b.proxy.Explain("GET", "http://example.com/p", header)
			if err != nil {
				t.Fatal(err)
			}
			if e.Route != c.route || (e.Skipped == "chosen") != (c.route == "usual") || strings.Contains(e.Note, "who asks") != c.noted {
				t.Errorf("from %q: route %s, skipped %q, note %q", c.from, e.Route, e.Skipped, e.Note)
			}
		}
	})
}
