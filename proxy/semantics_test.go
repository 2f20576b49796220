package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// said is one request and what is to come of it.
type said struct {
	about  string
	method string   // GET where empty
	header []string // name, value, name, value
	after  time.Duration
	status int // 200 where zero
	body   string
	cache  string
}

// counting answers with the number of the request, and the header that set adds.
func counting(set func(h http.Header, r *http.Request) int) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		i, status := n.Add(1), http.StatusOK
		if set != nil {
			status = set(w.Header(), r)
		}
		if status == http.StatusNotModified {
			w.WriteHeader(status)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, i)
	}
}

func with(fields ...string) func(http.Header, *http.Request) int {
	return func(h http.Header, _ *http.Request) int {
		for i := 0; i+1 < len(fields); i += 2 {
			h.Add(fields[i], fields[i+1])
		}
		return http.StatusOK
	}
}

func TestSemantics(t *testing.T) {
	plain := func(r *policy.Route) {
		r.TTL, r.ForwardHeaders, r.Targets = 0, policy.ForwardAll, []string{httpcache.TargetCDN, httpcache.TargetSurrogate}
		r.FailedWrite, r.OnWrite = policy.FailedKeep, policy.OnWriteStore
	}
	honor := func(r *policy.Route) { plain(r); r.Client = policy.HonorClient }
	auth := func(user string) []string { return []string{"Authorization", user} }
	for _, c := range []struct {
		name   string
		route  func(*policy.Route)
		origin http.HandlerFunc
		steps  []said
	}{
		{"public answers to credentials are everybody's (RFC 9111 §3.5)", plain, counting(with("Cache-Control", "max-age=60, public")), []said{
			{header: auth("a"), body: "1", cache: "fwd=miss; fwd-status=200; stored; detail=authorization"},
			{about: "without", body: "1", cache: "hit"}, {about: "another's", header: auth("b"), body: "1", cache: "hit"},
		}},
		{"other answers to credentials are nobody else's", plain, counting(with("Cache-Control", "max-age=60")), []said{
			{header: auth("a"), body: "1", cache: "detail=authorized"}, {about: "the same again", header: auth("a"), body: "2"},
			{about: "without", body: "3", cache: "stored"}, {about: "without, again", body: "3", cache: "hit"},
			{about: "a copy from without credentials does not answer those with", header: auth("a"), body: "4", cache: "authorized"},
			{about: "and stays", body: "3", cache: "hit"},
		}},
		{"answers to credentials that have to be confirmed are nobody else's", plain,
			counting(with("Cache-Control", "max-age=0, must-revalidate", "ETag", `"1"`)), []said{
				{header: auth("a"), body: "1", cache: "detail=authorized"}, {header: auth("b"), body: "2", cache: "detail=authorized"},
			}},
		{"a route that lists what it forwards lets credentials through with everything",
			func(r *policy.Route) { r.TTL = 0 },
			counting(func(h http.Header, r *http.Request) int {
				h.Set("Cache-Control", "public, max-age=60")
				h.Set("X-Saw", r.Header.Get("X-Any"))
				return 200
			}),
			[]said{
				{header: append(auth("a"), "X-Any", "1"), body: "1", cache: "fwd=bypass; fwd-status=200; detail=authorization"},
				{body: "2", cache: "stored"}, {about: "a public copy", header: auth("a"), body: "2", cache: "hit"},
			}},
		{"a client gets the cookies that were set for it", plain, counting(with("Cache-Control", "max-age=60", "Set-Cookie", "a=1")), []said{
			{body: "1", cache: "detail=set-cookie"}, {body: "2", cache: "detail=set-cookie"},
		}},
		{"Surrogate-Control and CDN-Cache-Control come before Cache-Control (RFC 9213 §2.2)", plain,
			counting(with("Cache-Control", "no-store", "Surrogate-Control", "max-age=60;cacheproxy")), []said{
				{body: "1", cache: "stored"}, {body: "1", cache: "hit; ttl=60"}, {after: time.Minute, body: "2"},
			}},
		{"what clients ask of caches", honor, counting(with("Cache-Control", "max-age=60")), []said{
			{body: "1"}, {about: "no-cache", header: []string{"Cache-Control", "no-cache"}, body: "2", cache: "stored"},
			{about: "which is stored", body: "2", cache: "hit"},
			{about: "max-age", after: 10 * time.Second, header: []string{"Cache-Control", "max-age=9"}, body: "3"},
			{about: "min-fresh", header: []string{"Cache-Control", "min-fresh=61"}, body: "4"},
			{about: "no-store", header: []string{"Cache-Control", "no-store"}, body: "5", cache: "detail=client-cache-control"},
			{about: "which is not stored", body: "4", cache: "hit"},
		}},
		{"max-stale (RFC 9111 §5.2.1.2)", honor, counting(with("Cache-Control", "max-age=10", "ETag", `"1"`)), []said{
			{body: "1"}, {after: 15 * time.Second, header: []string{"Cache-Control", "max-stale=10"}, body: "1", cache: "hit; ttl=-5"},
		}},
		{"stale-if-error of a client (RFC 5861 §4)", honor, counting(func(h http.Header, r *http.Request) int {
			if r.Header.Get("If-None-Match") != "" {
				return 503
			}
			h.Set("Cache-Control", "max-age=10")
			h.Set("ETag", `"1"`)
			return 200
		}), []said{
			{body: "1"}, {after: 15 * time.Second, status: 503, body: "2"},
			{header: []string{"Cache-Control", "stale-if-error=10"}, body: "1", cache: "fwd=stale; fwd-status=503; ttl=-5; detail=origin-status"},
			{after: 10 * time.Second, header: []string{"Cache-Control", "stale-if-error=10"}, status: 503, body: "4"},
		}},
		{"what clients ask is not heeded", plain, counting(with("Cache-Control", "max-age=60")), []said{
			{body: "1"}, {header: []string{"Cache-Control", "no-cache", "Pragma", "no-cache"}, body: "1", cache: "hit"},
			{header: []string{"Cache-Control", "no-store"}, body: "1", cache: "hit"},
		}},
		{"a write that failed leaves the copy (RFC 9111 §4.4)", plain, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=60")
			if r.Method == "POST" {
				return 500
			}
			return 200
		}), []said{
			{body: "1"}, {method: "POST", status: 500, body: "2"}, {body: "1", cache: "hit"},
			{about: "a write that did not", method: "PUT", body: "3"}, {body: "4"},
		}},
		{"a write that failed has an unknown outcome, unless the route says otherwise", nil, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=60")
			if r.Method == "POST" {
				return 500
			}
			return 200
		}), []said{{body: "1"}, {method: "POST", status: 500, body: "2"}, {body: "3"}}},
		{"an answer to POST is a copy of what it names (RFC 9110 §9.3.3)", plain, counting(with("Cache-Control", "max-age=60", "Content-Location", "/a")), []said{
			{body: "1"}, {method: "POST", body: "2"}, {body: "2", cache: "hit"},
			{about: "an answer to PUT is not (§9.3.4)", method: "PUT", body: "3"}, {body: "4"},
		}},
		{"a HEAD that is about something else makes a copy stale, and no more (RFC 9111 §4.3.5)", plain, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=10")
			h.Set("ETag", `"1"`)
			if r.Method == "HEAD" {
				h.Set("ETag", `"2"`)
			}
			if r.Header.Get("If-None-Match") != "" {
				return http.StatusNotModified
			}
			return 200
		}), []said{
			{body: "1"}, {after: 10 * time.Second, body: "1", cache: "fwd=stale; fwd-status=304"},
			{after: 10 * time.Second, method: "HEAD", cache: "detail=head-miss"}, {body: "1", cache: "fwd=stale; fwd-status=304; stored"},
		}},
		{"a HEAD that is about the copy renews it (RFC 9111 §4.3.5)", plain, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=10")
			h.Set("ETag", `"1"`)
			return 200
		}), []said{
			{body: "1"}, {after: 15 * time.Second, method: "HEAD", cache: "fwd=miss; fwd-status=200; stored; detail=head-miss"},
			{about: "the body is the copy's", body: "1", cache: "hit; ttl=10"}, {after: 10 * time.Second, body: "3", cache: "fwd=stale"},
		}},
		{"not without a validator", plain, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=10")
			return 200
		}), []said{{body: "1"}, {after: 15 * time.Second, method: "HEAD", cache: "detail=head-miss"}, {body: "3"}}},
		{"nor if it asked for something of its own", func(r *policy.Route) { r.TTL = 0 }, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=10")
			h.Set("ETag", `"1"`)
			return 200
		}), []said{
			{body: "1"}, {after: 15 * time.Second, method: "HEAD", header: []string{"X-Any", "1"}, cache: "detail=header-unlisted"}, {body: "3"},
		}},
		{"nor if the answer may not be kept any more", plain, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=10")
			h.Set("ETag", `"1"`)
			if r.Method == "HEAD" {
				h.Set("Cache-Control", "private, max-age=60")
			}
			return 200
		}), []said{
			{body: "1"}, {after: 15 * time.Second, method: "HEAD", cache: "detail=head-miss"}, {body: "3", cache: "fwd=uri-miss"},
		}},
		{"a field for this cache decides for requests with credentials too (RFC 9213 §2.2)", func(r *policy.Route) { plain(r); r.Targets = []string{httpcache.TargetThis} },
			counting(with("Cacheproxy-Cache-Control", "max-age=60", "Cache-Control", "public")), []said{
				{body: "1", cache: "stored"}, {body: "1", cache: "hit"}, {header: auth("a"), body: "2", cache: "authorized"},
			}},
		{"a coding that was not accepted is for nobody else (RFC 9110 §12.5.3)", plain, counting(with("Cache-Control", "max-age=60", "Content-Encoding", "gzip")), []said{
			{header: []string{"Accept-Encoding", "identity"}, body: "1", cache: "detail=coding-unasked"},
			{header: []string{"Accept-Encoding", "gzip;q=0"}, body: "2", cache: "detail=coding-unasked"},
			{header: []string{"Accept-Encoding", "gzip"}, body: "3", cache: "stored"}, {header: []string{"Accept-Encoding", "gzip"}, body: "3", cache: "hit"},
		}},
		{"why a fresh copy was not used (RFC 9211 §2.2)", honor, counting(with("Cache-Control", "max-age=60, stale-while-revalidate=60")), []said{
			{body: "1"}, {header: []string{"Cache-Control", "no-cache"}, body: "2", cache: "fwd=request; fwd-status=200; stored; detail=client-cache-control"},
			{about: "and a stale one", after: 70 * time.Second, header: []string{"Cache-Control", "no-cache"}, body: "3", cache: "fwd=stale; fwd-status=200; stored"},
		}},
		{"no answer crosses the preferences that Vary names, whatever language it is in (RFC 9111 §4.1)", plain,
			counting(with("Cache-Control", "max-age=60", "Vary", "Accept-Language", "Content-Language", "de")), []said{
				{header: []string{"Accept-Language", "en, de"}, body: "1"},
				{about: "order, case, space", header: []string{"Accept-Language", "DE , en"}, body: "1", cache: "hit"},
				{about: "de before all", header: []string{"Accept-Language", "fr;q=0.5, de"}, body: "2", cache: "fwd=vary-miss"},
				{about: "de alone", header: []string{"Accept-Language", "de"}, body: "3", cache: "fwd=vary-miss"},
				{about: "another before it", header: []string{"Accept-Language", "fr, de;q=0.5"}, body: "4", cache: "fwd=vary-miss"},
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.origin, rigOptions{}, routeFor(t, "all", c.route, "/"), func(b *bubble) {
				for i, s := range c.steps {
					b.pass(s.after)
					if s.method == "" {
						s.method = "GET"
					}
					if s.status == 0 {
						s.status = 200
					}
					b.do(s.method, "/a", s.header...).want(t, fmt.Sprintf("%d %s", i+1, s.about), s.status, s.body, s.cache)
				}
			})
		})
	}
}

// What only one client is to see reaches it, and who asked with credentials is not hidden from the origin.
func TestOwnAnswers(t *testing.T) {
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.ForwardHeaders = 0, policy.ForwardAll }, "/")
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Set-Cookie", "a=1")
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"), "|", r.Header.Get("Authorization"), "|", r.Header.Get("X-Forwarded-Host"))
	}, rigOptions{}, route, func(b *bubble) {
		a := b.do("GET", "/a")
		a.want(t, "without credentials", 200, "||example.com", "detail=set-cookie")
		if got := a.header["Set-Cookie"]; len(got) != 1 || got[0] != "a=1" {
			t.Errorf("the cookie set for the client: %q", got)
		}
		a = b.do("GET", "/a", "Authorization", "x", "X-Forwarded-For", "10.9.9.9", "X-Forwarded-Host", "evil.test")
		a.want(t, "with credentials", 200, "192.0.2.1|x|example.com", "detail=authorized")
		if got := a.header["Set-Cookie"]; len(got) != 1 {
			t.Errorf("the cookie set for the client with credentials: %q", got)
		}
	})
}

// Of the requests with and without credentials that come at once, each gets an answer that is its own or everybody's.
func TestCredentialsDoNotMix(t *testing.T) {
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.ForwardHeaders = 0, policy.ForwardAll }, "/")
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		user := r.Header.Get("Authorization")
		w.Header().Set("Cache-Control", "max-age=60")
		if strings.Contains(r.URL.Path, "public") {
			w.Header().Set("Cache-Control", "max-age=60, public")
			user = "all"
		}
		fmt.Fprint(w, "for ", user)
	}, rigOptions{}, route)
	done := make(chan error)
	const clients = 64
	for i := range clients {
		go func() {
			user := fmt.Sprint("user", i%7)
			want := map[string]string{"/own": "for " + user, "/public": "for all"}
			var header []string
			if i%3 == 0 {
				want["/own"] = "for "
			} else {
				header = []string{"Authorization", user}
			}
			for range unlessRace(20) {
				for path, body := range want {
					a, err := r.try("GET", path, nil, header...)
					if err == nil && a.body != body {
						err = fmt.Errorf("%s with %q: %q, %q", path, header, a.body, a.header["Cache-Status"])
					}
					if err != nil {
						done <- err
						return
					}
				}
			}
			done <- nil
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// An ETag that is no entity-tag confirms a copy as any other does: compared whole, with what the origin says itself.
func TestUnreadableETagConfirms(t *testing.T) {
	for _, tag := range []string{`"e"`, "e", "W/e", "'e'", `"e`, "w/\"e\""} {
		for _, held := range []httpcache.Coding{httpcache.Identity, httpcache.Gzip} {
			var asked atomic.Int64
			confirming := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				set("ETag", tag, "Cache-Control", "max-age=10", "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")(0, w, r)
				if r.Header.Get("If-None-Match") == tag {
					w.WriteHeader(http.StatusNotModified)
					return false
				}
				return true
			}
			route := routeFor(t, "all", func(r *policy.Route) { r.Compression = held }, "/")
			inBubble(t, counted(&asked, confirming), rigOptions{}, route, func(b *bubble) {
				b.do("GET", "/a").want(t, tag, 200, "1", "stored")
				b.do("GET", "/a", "If-None-Match", tag).want(t, tag+", which the client has", 304, "", "hit")
				b.pass(20 * time.Second)
				b.do("GET", "/a").want(t, tag+", expired", 200, "1", "fwd=stale; fwd-status=304; stored")
				b.do("GET", "/a", "Range", "bytes=0-0", "If-Range", tag).want(t, tag+", a part", map[bool]int{true: 206, false: 200}[tag == `"e"`], "1", "hit")
				if n := asked.Load(); n != 2 {
					t.Errorf("%s: the origin was asked %d times", tag, n)
				}
			})
		}
	}
}
