package proxy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// TestExplainAgrees makes requests of all kinds on routes of all kinds, and has each explained before it is made: what the
// explanation says is what the request then gets. The origin answers what it is asked, so that nothing else can come in between.
func TestExplainAgrees(t *testing.T) {
	seen := map[string]int{} // how often each word was explained
	for seed := range uint64(unlessRace(300)) {
		g := rand.New(rand.NewPCG(seed, 1))
		answered := randomAnswers(g)
		backend := func(w http.ResponseWriter, r *http.Request) { answered(w, r) }
		inBubble(t, backend, rigOptions{lease: oneOf(g, 20*time.Second, time.Hour)}, randomRoute(t, g), func(b *bubble) {
			for i := range 25 {
				if g.IntN(4) == 0 {
					b.pass(time.Duration(g.IntN(40)) * time.Second)
				}
				switch g.IntN(30) {
				case 0:
					if _, err := b.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{tag("t")}, Soft: g.IntN(2) == 0}); err != nil {
						t.Fatal(err)
					}
				case 1:
					b.lease.Extend(time.Now().Add(20 * time.Second))
				}
				method, target, header := randomRead(g)
				asked := fmt.Sprintf("seed %d, request %d: %s %s %q", seed, i, method, target, header)
				e, err := b.proxy.Explain(method, target, headerOf(header))
				if err != nil {
					t.Fatalf("%s: %v", asked, err)
				}
				a := b.do(method, target, header...)
				seen[e.Decision]++
				if told := a.header.Get("Cache-Status"); !agrees(e, told, header) {
					t.Fatalf("%s: explained %s %s %q, got %q", asked, e.Decision, e.Reason, e.CacheStatus, told)
				}
				b.pass(0)
			}
		})
	}
	for _, word := range []string{"hit", "stale", "miss", "pass", "write", "error"} {
		if seen[word] < unlessRace(20) {
			t.Errorf("%q was explained %d times: the test does not show much about it (all: %v)", word, seen[word], seen)
		}
	}
}

// agrees reports whether an answer's Cache-Status is what was explained, but for what only the origin's answer could add.
func agrees(e *Explanation, told string, asked []string) bool {
	explained, got := statusWords(e.CacheStatus), statusWords(told)
	fields := strings.Join(asked, " ")
	switch {
	case got["fwd-status"] == "":
	case e.Decision == "miss" && got["detail"] == "detail=precondition" && strings.Contains(fields, "If-") && strings.Contains(e.Note, got["detail"]),
		e.Decision == "miss" && got["detail"] == "detail=range" && strings.Contains(fields, "Range"):
		return true // only the answer shows that it is not for a request of this kind, which then goes through
	case e.Decision == "miss" && got["stored"] == "":
		got["detail"] = explained["detail"] // why the answer is not stored
	}
	return explained["hit"] == got["hit"] && explained["fwd"] == got["fwd"] && explained["ttl"] == got["ttl"] && explained["detail"] == got["detail"]
}

var statusWord = regexp.MustCompile(`; ([a-z-]+)(?:=([^;]*))?`)

func statusWords(status string) map[string]string {
	words := map[string]string{}
	for _, m := range statusWord.FindAllStringSubmatch(status, -1) {
		words[m[1]] = m[1] + "=" + m[2]
	}
	return words
}

func headerOf(pairs []string) http.Header {
	h := http.Header{"Host": {httptest.DefaultRemoteAddr}}
	h.Del("Host")
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func oneOf[T any](g *rand.Rand, all ...T) T { return all[g.IntN(len(all))] }

// randomRoute is a route with any of the options that decide on reads.
func randomRoute(t *testing.T, g *rand.Rand) *policy.Route {
	return routeFor(t, "all", func(r *policy.Route) {
		r.Policy = oneOf(g, policy.CacheAside, policy.CacheAside, policy.ReadThrough, policy.RefreshAhead, policy.WriteThrough, policy.CacheAside, policy.RefreshAhead, policy.Bypass)
		r.Mode = oneOf(g, policy.On, policy.On, policy.On, policy.On, policy.On, policy.On, policy.On, policy.Observe, policy.Off)
		r.TTL = time.Duration(g.IntN(60)) * time.Second
		r.Tags = []policy.Template{template(t, "t")}
		r.StaleWhileRevalidate, r.StaleIfError = time.Duration(g.IntN(3))*10*time.Second, time.Duration(g.IntN(2))*time.Minute
		r.IgnoreAllCookies, r.ShareAuthorized = g.IntN(2) == 0, g.IntN(4) == 0
		if g.IntN(3) == 0 {
			r.Cookies = []string{"lang"}
		}
		if g.IntN(3) == 0 {
			r.Headers = []string{oneOf(g, "X-Tenant", "Accept-Language")}
		}
		r.ForwardHeaders = oneOf(g, policy.ForwardListed, policy.ForwardAll)
		r.OnUnlisted = oneOf(g, policy.UnlistedBypass, policy.UnlistedBypass, r.OnUnlisted)
		r.Client = oneOf(g, r.Client, policy.HonorClient)
		r.Range = oneOf(g, r.Range, policy.RangePart)
		r.Query.Unlisted = oneOf(g, policy.UnlistedKey, policy.UnlistedBypass, policy.UnlistedDrop)
		r.Compression = oneOf(g, httpcache.Identity, httpcache.Identity, httpcache.Gzip)
		r.OnLeaseLoss, r.LeaseLossMax = oneOf(g, policy.LeaseLossOrigin, policy.LeaseLossServeStale), time.Minute
		r.StripSetCookie = g.IntN(2) == 0
	}, "/")
}

// randomAnswers is an origin that answers each path in one way.
func randomAnswers(g *rand.Rand) http.HandlerFunc {
	fields := map[string][]string{}
	for _, path := range []string{"/a", "/b", "/c"} {
		var h []string
		h = append(h, "Cache-Control", oneOf(g, "", "max-age=20", "max-age=20, stale-while-revalidate=20", "no-cache", "no-store", "private", "public, max-age=30", "s-maxage=10", "max-age=5, must-revalidate"))
		h = append(h, "Vary", oneOf(g, "", "", "Cookie", "Accept-Language", "User-Agent", "Origin", "X-Tenant", "*"))
		h = append(h, "ETag", oneOf(g, "", `"e"`), "Set-Cookie", oneOf(g, "", "", "", "a=b"), "No-Vary-Search", oneOf(g, "", "", "params=(\"x\")"))
		h = append(h, "Access-Control-Allow-Origin", oneOf(g, "", "*"))
		fields[path] = h
	}
	return func(w http.ResponseWriter, r *http.Request) {
		h := fields[r.URL.Path]
		for i := 0; i+1 < len(h); i += 2 {
			if h[i+1] != "" {
				w.Header().Set(h[i], h[i+1])
			}
		}
		w.Header().Set("Content-Type", "text/plain")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("0123456789", 40)))
	}
}

// randomRead is a request without content, most of them reads.
func randomRead(g *rand.Rand) (method, target string, header []string) {
	method = oneOf(g, "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "HEAD", "OPTIONS", "DELETE", "SEARCH")
	target = "http://shop.test" + oneOf(g, "/a", "/a", "/a", "/a", "/a", "/b", "/b", "/c", "/a/../b") + oneOf(g, "", "", "", "", "", "", "?x=1", "?x=2", "?y=1", "?%")
	fields := [][]string{
		{"Cookie", "lang=de"}, {"Cookie", "id=1"}, {"Accept-Language", "de"}, {"Accept-Language", "en"}, {"User-Agent", "u"}, {"Origin", "https://a.test"},
		{"X-Tenant", "1"}, {"X-Other", "1"}, {"Authorization", "Bearer x"}, {"Range", "bytes=0-3"}, {"Range", "bytes=3-5, 8-9"}, {"If-None-Match", `"e"`},
		{"If-Match", `"other"`}, {"Cache-Control", "no-cache"}, {"Cache-Control", "max-stale=30"}, {"Cache-Control", "only-if-cached"}, {"Cache-Control", "no-store"},
		{"Accept-Encoding", "gzip"}, {"Accept-Encoding", "identity;q=0"}, {"X-Forwarded-For", "1.2.3.4"}, {"X-HTTP-Method-Override", "PUT"}, {"Via", "1.1 a"},
	}
	for range max(0, g.IntN(4)-1) {
		header = append(header, oneOf(g, fields...)...)
	}
	return method, target, header
}
