package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// asking is one request of a script and what must come back.
type asking struct {
	method string   // empty: GET
	target string   // empty: /a
	header []string // name, value, …
	purge  []policy.Member
	soft   bool

	status int    // zero: 200
	body   string // what the body must be; "*": any
	cache  string // what Cache-Status must contain
	asked  int    // how often the origin was asked in total after this step
}

// counted answers with the number of the request as body, under a header that the script gives.
func counted(asked *atomic.Int64, h func(n int64, w http.ResponseWriter, r *http.Request) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		w.Header().Set("Content-Type", "text/plain")
		if h == nil || h(n, w, r) {
			fmt.Fprintf(w, "%d", n)
		}
	}
}

func set(pairs ...string) func(int64, http.ResponseWriter, *http.Request) bool {
	return func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(pairs); i += 2 {
			w.Header().Add(pairs[i], pairs[i+1])
		}
		return true
	}
}

func TestScripts(t *testing.T) {
	etag := func(n int64, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("ETag", `"v"`)
		if r.Header.Get("If-None-Match") == `"v"` {
			w.WriteHeader(http.StatusNotModified)
			return false
		}
		return true
	}
	failing := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		if n > 1 {
			w.WriteHeader(http.StatusInternalServerError)
		} else {
			w.Header().Set("Cache-Control", "max-age=0, stale-if-error=60")
		}
		return true
	}
	keyed := func(r *policy.Route) { r.Key = template(t, "a") }
	runScripts(t, []script{
		{name: "a miss, then hits", steps: []asking{
			{body: "1", cache: "fwd=uri-miss; fwd-status=200; stored", asked: 1},
			{body: "1", cache: "cacheproxy; hit; ttl=", asked: 1},
			{method: "HEAD", body: "", cache: "hit", asked: 1},
		}},
		{name: "no-store is not stored (RFC 9111 §5.2.2.5)", origin: set("Cache-Control", "no-store"), steps: []asking{
			{body: "1", cache: "detail=no-store", asked: 1}, {body: "2", asked: 2},
		}},
		{name: "private is not stored (RFC 9111 §5.2.2.7)", origin: set("Cache-Control", "private, max-age=60"), steps: []asking{
			{body: "1", cache: "detail=private", asked: 1}, {body: "2", cache: "fwd=miss", asked: 2},
		}},
		{name: "Set-Cookie is not stored", origin: set("Set-Cookie", "a=b"), steps: []asking{
			{body: "1", cache: "detail=set-cookie", asked: 1}, {body: "2", asked: 2},
		}},
		{name: "credentials neither fill nor hit (RFC 9111 §3.5)", steps: []asking{
			{header: []string{"Authorization", "Bearer x"}, body: "1", cache: "detail=authorization", asked: 1},
			{body: "2", asked: 2}, {header: []string{"Authorization", "Bearer x"}, body: "3", asked: 3},
			{body: "2", cache: "hit", asked: 3},
		}},
		{name: "cookies neither fill nor hit", steps: []asking{
			{header: []string{"Cookie", "a=b"}, body: "1", cache: "detail=cookie", asked: 1}, {body: "2", asked: 2},
			{header: []string{"Cookie", "a=b"}, body: "3", asked: 3},
		}},
		{name: "a confirmed copy is served again (RFC 9111 §4.3)", origin: func(n int64, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Cache-Control", "no-cache")
			return etag(n, w, r)
		}, steps: []asking{
			{body: "1", asked: 1}, {body: "1", cache: "fwd=stale; fwd-status=304; stored", asked: 2}, {body: "1", asked: 3},
		}},
		{name: "a client's validator is answered from the copy (RFC 9110 §13.1.2)", origin: etag, steps: []asking{
			{body: "1", asked: 1},
			{header: []string{"If-None-Match", `"x", W/"v"`}, status: 304, cache: "hit", asked: 1},
			{header: []string{"If-None-Match", `"x"`}, body: "1", asked: 1},
		}},
		{name: "a client's validator on a miss fetches the whole", origin: etag, steps: []asking{
			{header: []string{"If-None-Match", `"v"`}, status: 304, asked: 1}, {body: "1", asked: 1},
		}},
		{name: "Vary tells copies apart, also by fields that a fill does not forward at first (RFC 9111 §4.1)",
			origin: func(n int64, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Vary", "X-Lang")
				fmt.Fprint(w, r.Header.Get("X-Lang"))
				return false
			}, steps: []asking{
				{header: []string{"X-Lang", "de"}, body: "de", cache: "detail=header-unlisted"},
				{header: []string{"X-Lang", "de"}, body: "de"}, {header: []string{"X-Lang", "fr"}, body: "fr"},
				{header: []string{"X-Lang", "de"}, body: "de", cache: "hit"}, {header: []string{"X-Lang", "fr"}, body: "fr", cache: "hit"},
				{body: ""},
			}},
		{name: "a purged copy is gone for everything", origin: failing, route: keyed, steps: []asking{
			{body: "1", asked: 1}, {body: "1", cache: "detail=origin-status", asked: 2},
			{purge: []policy.Member{key("a")}, status: 500, body: "*", asked: 3},
		}},
		{name: "a softly purged copy may stand in for an error", origin: failing, route: keyed, steps: []asking{
			{body: "1", asked: 1}, {purge: []policy.Member{key("a")}, soft: true, body: "1", asked: 2},
		}},
		{name: "a softly purged copy is confirmed, a purged one is not", origin: etag, route: keyed, steps: []asking{
			{body: "1", asked: 1},
			{purge: []policy.Member{key("a")}, soft: true, body: "1", cache: "fwd-status=304", asked: 2},
			{body: "1", cache: "hit", asked: 2},
			{purge: []policy.Member{key("a")}, body: "3", cache: "fwd-status=200", asked: 3},
		}},
		{name: "a purge names tags of the answer", origin: set("Surrogate-Key", "x y"), steps: []asking{
			{body: "1", asked: 1}, {purge: []policy.Member{tag("z")}, body: "1", cache: "hit", asked: 1},
			{purge: []policy.Member{tag("y")}, body: "2", asked: 2},
		}},
		{name: "an unsafe request makes its target unusable (RFC 9111 §4.4)", steps: []asking{
			{body: "1", asked: 1}, {method: "POST", body: "2", asked: 2}, {body: "3", asked: 3},
		}},
		{name: "an unsafe request that failed leaves it", origin: func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "POST" {
				w.WriteHeader(http.StatusConflict)
			}
			return true
		}, steps: []asking{
			{body: "1", asked: 1}, {method: "POST", status: 409, body: "2", asked: 2}, {body: "1", cache: "hit", asked: 2},
		}},
		{name: "Location of the same origin goes too (RFC 9111 §4.4)", origin: func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "/a")
			return true
		}, steps: []asking{
			{body: "1", asked: 1}, {method: "POST", target: "/b", body: "2", asked: 2}, {body: "3", asked: 3},
		}},
		{name: "404 is kept for negative_ttl", origin: func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			return true
		}, route: func(r *policy.Route) { r.NegativeTTL = time.Minute }, steps: []asking{
			{status: 404, body: "1", asked: 1}, {status: 404, body: "1", cache: "hit", asked: 1},
		}},
		{name: "an undeclared query parameter goes past the cache", route: func(r *policy.Route) {
			r.Query = policy.Query{Include: []string{"p"}}
		}, steps: []asking{
			{target: "/a?p=1", body: "1", asked: 1}, {target: "/a?p=1", body: "1", cache: "hit", asked: 1},
			{target: "/a?p=1&q=2", body: "2", cache: "detail=query-unlisted", asked: 2},
		}},
		{name: "a range in a unit of the origin's own goes past the cache (RFC 9110 §14.2)", steps: []asking{
			{header: []string{"Range", "items=0-1"}, body: "1", cache: "detail=range", asked: 1}, {body: "2", asked: 2},
		}},
		{name: "only-if-cached (RFC 9111 §5.2.1.7)", steps: []asking{
			{header: []string{"Cache-Control", "only-if-cached"}, status: 504, body: "*", asked: 0},
		}},
		{name: "mode off passes through", route: func(r *policy.Route) { r.Mode = policy.Off }, steps: []asking{
			{body: "1", cache: "detail=mode-off", asked: 1}, {body: "2", asked: 2},
		}},
		{name: "mode observe never serves", route: func(r *policy.Route) { r.Mode = policy.Observe }, steps: []asking{
			{body: "1", asked: 1}, {body: "2", asked: 2},
		}},
		{name: "stale-while-revalidate serves at once (RFC 5861 §3)",
			origin: set("Cache-Control", "max-age=0, stale-while-revalidate=60"), steps: []asking{
				{body: "1"}, {body: "1", cache: "hit; ttl=-"},
			}},
		{name: "must-revalidate forbids stale answers (RFC 9111 §5.2.2.2)", origin: func(n int64, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			w.Header().Set("Cache-Control", "max-age=0, must-revalidate, stale-if-error=60")
			w.Header().Set("ETag", `"e"`)
			return true
		}, steps: []asking{{body: "1", asked: 1}, {status: 502, body: "2", asked: 2}}},
	})
}

// script is a route, an origin, and requests with what must come back.
type script struct {
	name   string
	origin func(n int64, w http.ResponseWriter, r *http.Request) bool
	route  func(*policy.Route)
	steps  []asking
}

func runScripts(t *testing.T, all []script) {
	t.Helper()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			r := newRig(t, counted(&asked, c.origin), rigOptions{}, routeFor(t, "all", c.route, "/"))
			for i, s := range c.steps {
				ask(t, r, i, s, &asked)
			}
		})
	}
}

func ask(t *testing.T, r *rig, i int, s asking, asked *atomic.Int64) {
	t.Helper()
	r.settle(t)
	if s.purge != nil {
		if _, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: s.purge, Soft: s.soft}); err != nil {
			t.Fatal(err)
		}
	}
	method, target, status := s.method, s.target, s.status
	if method == "" {
		method = "GET"
	}
	if target == "" {
		target = "/a"
	}
	if status == 0 {
		status = 200
	}
	a := r.do(method, target, s.header...)
	cache := strings.Join(a.header.Values("Cache-Status"), ", ")
	if a.status != status || (s.body != "*" && a.body != s.body) || !strings.Contains(cache, s.cache) || cache == "" {
		t.Errorf("step %d: got %d %q, Cache-Status %q; want %d %q, %q", i+1, a.status, a.body, cache, status, s.body, s.cache)
	}
	if s.asked > 0 && asked.Load() != int64(s.asked) {
		t.Errorf("step %d: the origin was asked %d times, want %d", i+1, asked.Load(), s.asked)
	}
}
