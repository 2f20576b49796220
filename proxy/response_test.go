package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// What a route sets and removes holds in every answer of the origin's, by whatever way it comes; copies and comparisons have what
// the origin said, and the proxy's own errors what they say.
func TestFieldsForClients(t *testing.T) {
	body := strings.Repeat("0123456789", 200)
	origin := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "max-age=60")
		h.Set("X-Powered-By", "origin")
		h.Set("Content-Type", "text/plain")
		h.Set("ETag", `"v"`)
		switch r.URL.Path {
		case "/private":
			h.Set("Cache-Control", "private")
		case "/unstored":
			h.Set("Cache-Control", "no-store")
		case "/gone":
			http.Error(w, "gone", http.StatusGone)
			return
		case "/down":
			panic(http.ErrAbortHandler)
		}
		if r.Header.Get("If-None-Match") == `"v"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, body)
	}
	ways := []struct {
		about, method, path string
		header              []string
		status              int
		cached              string // in Cache-Status
		control             string // what Cache-Control the client gets; empty: the route's
	}{
		{"a miss", "GET", "/a", nil, 200, "fwd=uri-miss", ""},
		{"a hit", "GET", "/a", nil, 200, "hit", ""},
		{"the head of a hit", "HEAD", "/a", nil, 200, "hit", ""},
		{"not modified, from the copy", "GET", "/a", []string{"If-None-Match", `"v"`}, 304, "hit", ""},
		{"a part of a copy", "GET", "/a", []string{"Range", "bytes=0-9"}, 206, "hit", ""},
		{"parts of a copy", "GET", "/a", []string{"Range", "bytes=0-9,1000-1009"}, 206, "hit", ""},
		{"a part of a miss", "GET", "/b", []string{"Range", "bytes=0-9"}, 206, "fwd=uri-miss", ""},
		{"not modified, of a miss", "GET", "/c", []string{"If-None-Match", `"v"`}, 304, "fwd=uri-miss", ""},
		{"an error of the origin", "GET", "/gone", nil, 410, "fwd=uri-miss", ""},
		{"passed", "GET", "/a", []string{"Cookie", "a=b"}, 200, "fwd=bypass", ""},
		{"not modified, passed", "GET", "/a", []string{"Cookie", "a=b", "If-None-Match", `"v"`}, 304, "fwd=bypass", ""},
		{"a write", "POST", "/d", nil, 200, "fwd=method", ""},
		{"for one client", "GET", "/private", []string{"Cookie", "a=b"}, 200, "fwd=bypass", "private"},
		{"for one client, fetched", "GET", "/private", nil, 200, "fwd=uri-miss", "private"},
		{"not to be kept", "GET", "/unstored", nil, 200, "fwd=uri-miss", "no-store"},
		{"bytes that are not there", "GET", "/b", []string{"Range", "bytes=9999-"}, 416, "hit", "no-store"},
		{"the proxy's own", "GET", "/down", nil, 502, "detail=origin-error", "no-store"},
	}
	for _, coding := range []httpcache.Coding{httpcache.Identity, httpcache.Gzip} {
		route := routeFor(t, "all", func(r *policy.Route) {
			r.SetFields = http.Header{"Cache-Control": {"no-cache"}, "X-Frame-Options": {"DENY"}}
			r.RemoveFields, r.Compression = []string{"X-Powered-By"}, coding
		}, "/")
		inBubble(t, origin, rigOptions{}, route, func(b *bubble) {
			for _, c := range ways {
				name := fmt.Sprintf("%s, %v", c.about, coding)
				a := b.do(c.method, c.path, c.header...)
				synctest.Wait() // the whole of which a part was asked for is stored
				own := c.status == 416 || c.status == 502
				want, frame := "no-cache", "DENY"
				if c.control != "" {
					want = c.control
				}
				if own {
					frame = ""
				}
				if got := a.header.Get("Cache-Status"); a.status != c.status || !strings.Contains(got, c.cached) {
					t.Errorf("%s: %d, %s, want %d, %s", name, a.status, got, c.status, c.cached)
				}
				if got := a.header.Get("Cache-Control"); got != want || a.header.Get("X-Frame-Options") != frame || a.header["X-Powered-By"] != nil {
					t.Errorf("%s: Cache-Control %q, want %q; %v", name, got, want, a.header)
				}
			}
			b.pass(30 * time.Second) // half of the lifetime that the origin has named
			if a := b.do("GET", "/a"); !strings.Contains(a.header.Get("Cache-Status"), "hit; ttl=30") {
				t.Errorf("the copy lives by other words than the origin's: %s", a.header.Get("Cache-Status"))
			}
		})
	}
}

// Who does not want to be told gets no word of this cache's, and what caches before it have said.
func TestCacheStatusOff(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Cache-Status", "before; hit")
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "body")
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		for _, off := range []bool{true, false} {
			b.proxy.config().CacheStatusOff = off
			b.invalidate(policy.All)
			for _, c := range [][]string{{"GET", "/a"}, {"GET", "/a"}, {"GET", "/a", "Range", "bytes=0-1"}, {"GET", "/a", "Cookie", "a=b"}, {"PUT", "/b"}, {"GET", "/down"}, {"TRACE", "/a", "Max-Forwards", "0"}} {
				var want []string
				if c[1] != "/down" && c[0] != "TRACE" {
					want = append(want, "before; hit")
				}
				a := b.do(c[0], c[1], c[2:]...)
				said := a.header["Cache-Status"]
				own := len(said) == len(want)+1 && strings.HasPrefix(said[len(want)], "cacheproxy")
				if own == off || off && len(said) != len(want) || len(want) > 0 && said[0] != want[0] {
					t.Errorf("%v, off %v: %q", c, off, said)
				}
			}
		}
	})
}
