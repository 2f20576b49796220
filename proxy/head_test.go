package proxy

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// A HEAD never brings back what was invalidated, before it was sent or while it was under way, and what it renews can be
// purged as before.
func TestHeadDoesNotBringBack(t *testing.T) {
	for _, c := range []struct {
		about  string
		during bool   // the purge comes while the origin works on the HEAD
		first  bool   // it comes before the HEAD
		cache  string // of the read after the HEAD
		body   string
	}{
		{about: "no purge", cache: "hit", body: "GET 1"},
		{about: "before", first: true, cache: "stored", body: "GET 3"},
		{about: "during", during: true, cache: "stored", body: "GET 3"},
	} {
		t.Run(c.about, func(t *testing.T) {
			var b *bubble
			n := 0
			purge := func() {
				if _, err := b.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{tag("products")}}); err != nil {
					t.Error(err)
				}
			}
			inBubble(t, func(w http.ResponseWriter, r *http.Request) {
				n++
				w.Header().Set("Cache-Control", "max-age=10")
				w.Header().Set("ETag", `"1"`)
				if r.Method == "HEAD" {
					if c.during {
						purge()
					}
					return
				}
				w.Header().Set("Surrogate-Key", "products")
				fmt.Fprint(w, r.Method, " ", n)
			}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.TTL, r.ForwardHeaders = 0, policy.ForwardAll }, "/"), func(in *bubble) {
				b = in
				b.do("GET", "/a").want(t, "the copy", 200, "GET 1", "stored")
				b.pass(15 * time.Second)
				if c.first {
					purge()
				}
				b.do("HEAD", "/a").want(t, "the HEAD", 200, "", "head-miss")
				b.do("GET", "/a").want(t, "after it", 200, c.body, c.cache)
				purge() // by the tag that only the first answer had
				b.do("GET", "/a").want(t, "after a purge", 200, fmt.Sprint("GET ", n), "stored; detail=purged")
			})
		})
	}
}

// A HEAD that is about something else makes a copy stale (RFC 9111 §4.3.5), which then stands in for the origin all the same; and it says
// something about the copy only where it asks what a fill asks.
func TestHeadMakesACopyStaleAndNoMore(t *testing.T) {
	for _, c := range []struct {
		about  string
		route  func(*policy.Route)
		header []string // of the reads
		fill   []string // of the first, where that has others
		head   []string // of the answer to a HEAD
		after  time.Duration
		cache  string // of the read after the HEAD
	}{
		{about: "another length of a stale copy", head: []string{"Content-Length", "0"}, after: 15 * time.Second, cache: "fwd=stale"},
		{about: "another ETag of a stale copy", head: []string{"ETag", `"2"`}, after: 15 * time.Second, cache: "fwd=stale"},
		{about: "a fresh copy", head: []string{"ETag", `"2"`}, cache: "fwd=stale"},
		{about: "a fresh copy, with the codings of a client", header: []string{"Accept-Encoding", "gzip"}, head: []string{"ETag", `"2"`},
			route: func(r *policy.Route) { r.Compression = httpcache.Gzip }, cache: "; hit"},
		{about: "a fresh copy, for other codings", header: []string{"Accept-Encoding", "br"}, fill: []string{"Accept-Encoding", "gzip"}, head: []string{"ETag", `"2"`}, cache: "; hit"},
		{about: "a fresh copy, with a field that no fill forwards", header: []string{"Referer", "http://a.example/"}, head: []string{"ETag", `"2"`}, cache: "; hit"},
	} {
		t.Run(c.about, func(t *testing.T) {
			var down atomic.Bool
			origin := func(w http.ResponseWriter, r *http.Request) {
				if down.Load() {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("ETag", `"1"`)
				if r.Method == "HEAD" {
					for i := 0; i < len(c.head); i += 2 {
						w.Header().Set(c.head[i], c.head[i+1])
					}
					return
				}
				fmt.Fprint(w, "the copy")
			}
			inBubble(t, origin, rigOptions{}, routeFor(t, "all", func(r *policy.Route) {
				r.TTL, r.StaleIfError, r.Client = 10*time.Second, time.Hour, policy.HonorClient
				if c.route != nil {
					c.route(r)
				}
			}, "/"), func(b *bubble) {
				fill := c.fill
				if fill == nil {
					fill = c.header
				}
				b.do("GET", "/a", fill...).want(t, "fill", 200, "*", "stored")
				b.pass(c.after)
				b.do("HEAD", "/a", append([]string{"Cache-Control", "no-cache"}, c.header...)...).want(t, "the HEAD", 200, "", "fwd=")
				down.Store(true)
				b.do("GET", "/a", c.header...).want(t, "the origin is down", 200, "*", c.cache)
			})
		})
	}
}
