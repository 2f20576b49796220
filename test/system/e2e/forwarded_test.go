package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const forwardedConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
drain_delay: 0s
trusted_proxies: [%s]
upstreams: [{name: api, url: "%s"}]
routes:
  - {name: page, match: "/page/{n}", policy: cache-aside, ttl: 1h, headers: [X-Forwarded-Prefix]}
  - {name: pass, match: /pass, policy: bypass}
`

// An origin behind a proxy that ends TLS sends those to https who are not there yet. Fills are told what requests that go
// through are told, or everybody would be sent round in circles, from a copy.
func TestTLSEndsInFront(t *testing.T) {
	origin := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Proto") != "https" {
			w.Header().Set("Cache-Control", "max-age=60")
			http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
			return
		}
		// A write tells, as its Location, of what it has changed: the https URL that users know it by.
		w.Header().Set("Location", "https://"+r.Host+"/page/3")
		fmt.Fprint(w, r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Prefix"), " ", strings.Count(r.Header.Get("Forwarded"), "proto=https"))
	})
	p := serveConfig(t, fmt.Sprintf(forwardedConfig, "127.0.0.0/8", origin))
	secure := []string{"Host: shop.example", "X-Forwarded-Proto: https"}
	ask := func(hit bool, want string, url string, fields ...string) {
		t.Helper()
		a := get(t, p.data+url, fields...)
		if a.isHit() != hit || !strings.HasPrefix(a.body, want) && fmt.Sprint(a.status) != want {
			t.Errorf("%s %q: %d %q, %q; want %q and a hit: %v", url, fields, a.status, a.body, a.cacheStatus(), want, hit)
		}
	}
	ask(false, "shop.example 1", "/pass", secure...)
	ask(false, "shop.example 1", "/page/1", secure...)
	ask(true, "shop.example 1", "/page/1", secure...)
	ask(true, "shop.example 1", "/page/1", "Host: shop.example", "Forwarded: for=192.0.2.1;proto=https")
	ask(false, "301", "/page/1", "Host: shop.example")
	ask(true, "301", "/page/1", "Host: shop.example")
	// What else a trusted proxy says, where it is part of the key.
	for hit := range 2 {
		ask(hit > 0, "shop.example/de 1", "/page/2", append(secure, "X-Forwarded-Prefix: /de")...)
		ask(hit > 0, "shop.example/fr 1", "/page/2", append(secure, "X-Forwarded-Prefix: /fr")...)
		ask(hit > 0, "www.example 1", "/page/2", append(secure, "X-Forwarded-Host: www.example")...)
	}
	ask(false, "shop.example 1", "/page/3", secure...)
	call(t, http.MethodPost, p.data+"/pass", "{}", secure...)
	ask(false, "shop.example 1", "/page/3", secure...)
	ask(false, "shop.example 2", "/pass", "Host: shop.example", "Forwarded: for=192.0.2.1;proto=https")
	shown := get(t, p.admin+"/config").body
	for _, want := range []string{`"trusted_proxies":["127.0.0.0/8"]`, `"headers":["X-Forwarded-Host","X-Forwarded-Port","X-Forwarded-Prefix","X-Forwarded-Scheme","X-Forwarded-Ssl"]`, `"log":{"format":"json","fields":"short","level":"INFO","hits":0.01,"others":1}`} {
		if !strings.Contains(shown, want) {
			t.Errorf("GET /config lacks %s: %s", want, shown)
		}
	}
	p.line(t, "whom a proxy forwards for", func(line string) bool { return strings.Contains(line, `"client":"192.0.2.1"`) })
}

// Of anybody else nothing of the kind is believed, nor does it tell copies apart.
func TestNobodyIsTrusted(t *testing.T) {
	origin := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Prefix"))
	})
	for _, trusted := range []string{"", "192.0.2.1"} {
		p := serveConfig(t, fmt.Sprintf(forwardedConfig, trusted, origin))
		for n, field := range []string{"X-Forwarded-Proto: https", "Forwarded: proto=https", "X-Forwarded-Prefix: /de", "X-Forwarded-Host: evil.example"} {
			for _, url := range []string{"/pass", "/page/1"} {
				if a := get(t, p.data+url, "Host: shop.example", field); a.body != "httpshop.example" || a.isHit() != (n > 0 && url != "/pass") {
					t.Errorf("trusted %q, %s with %q: %q, %q", trusted, url, field, a.body, a.cacheStatus())
				}
			}
		}
	}
}
