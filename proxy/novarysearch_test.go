package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// draft-ietf-httpbis-no-vary-search: a copy answers the queries that the origin says make no difference, and is as
// unusable for them as what was invalidated under either URL.
func TestNoVarySearch(t *testing.T) {
	var asked atomic.Int64
	backend := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("plain") == "" {
			w.Header().Set("No-Vary-Search", `params=("utm" "plain"), key-order`)
		}
		return true
	}
	route := routeFor(t, "all", func(r *policy.Route) {
		r.Query = policy.Query{Unlisted: policy.UnlistedKey}
		r.Headers = []string{"X-Tenant"}
		r.TTL = 10 * time.Second
	}, "/")
	url := func(target string) []policy.Member {
		u, err := httpcache.ParseTarget("http", "example.com", target)
		if err != nil {
			t.Fatal(err)
		}
		return policy.URLMembers(u.Host, u.Path, u.Query, u.HasQuery)
	}
	inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a?x=1&utm=mail&y=2").want(t, "filled", 200, "1", "stored")
		b.pass(0)
		for _, like := range []string{"/a?y=2&x=1", "/a?x=1&y=2&utm=web", "/a?x=%31&y=2"} {
			b.do("GET", like).want(t, like, 200, "1", "hit; ttl=10")
		}
		b.do("HEAD", "/a?y=2&x=1").want(t, "HEAD", 200, "", "hit")
		b.do("GET", "/a?x=2&y=2").want(t, "another value", 200, "2", "stored")
		b.do("GET", "/b?y=2&x=1").want(t, "another path", 200, "3", "stored")
		b.do("GET", "/a?y=2&x=1", "X-Tenant", "t").want(t, "another tenant", 200, "4", "stored")
		b.do("GET", "/a?x=1&y=2&utm=web").want(t, "still", 200, "1", "hit")
		if e, err := b.proxy.Explain("GET", "http://example.com/a?y=2&x=1&utm=print", http.Header{}); err != nil || e.Decision != "hit" || e.Note == "" {
			t.Errorf("explain: %v, %+v", err, e)
		}

		b.invalidate(url("/a?x=1&y=2&utm=web")...)
		b.do("GET", "/a?x=1&y=2&utm=web").want(t, "purged under its own URL", 200, "5", "stored")
		b.invalidate(url("/a?x=1&y=2&utm=web")...)
		b.do("GET", "/a?x=1&y=2&utm=tv").want(t, "the copy it would be like is purged", 200, "6", "stored")

		b.pass(11 * time.Second)
		b.do("GET", "/a?y=2&x=1").want(t, "a copy of another query that is not fresh is not used", 200, "7", "stored")
		b.pass(0)
		b.do("GET", "/a?x=1&y=2&utm=radio").want(t, "the latest serves", 200, "7", "hit")
		b.do("GET", "/a?x=1&y=2&plain=1").want(t, "like the others, too", 200, "7", "hit")
		b.invalidate(url("/a?x=1&y=2&plain=1")...)
		b.do("GET", "/a?x=1&y=2&plain=1").want(t, "it stands for itself now", 200, "8", "stored")
	})
}
