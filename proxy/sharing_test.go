package proxy

import (
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cacheproxy/policy"
)

// mirror answers with all that the origin saw of a request.
func mirror(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	fmt.Fprintf(w, "%s|%s|%q|%q", r.Host, r.RequestURI, r.Header["X-Tenant"], r.Header["Cookie"])
}

// TestNoTwoRequestsShareACopy sends requests that were crafted to look like each other: whoever gets a copy must get
// what the origin would have answered to that very request.
func TestNoTwoRequestsShareACopy(t *testing.T) {
	route := routeFor(t, "all", func(r *policy.Route) {
		r.Key = template(t, "p:{a}:{b}")
		r.Headers, r.Cookies = []string{"X-Tenant"}, []string{"region"}
	}, "GET /p/{a}/{b}", "GET /q/{a}/{b...}")
	inBubble(t, mirror, rigOptions{}, route, func(b *bubble) {
		type request struct {
			target, host string
			header       []string
		}
		requests := []request{
			{target: "/p/x/y"}, {target: "/p/x%2Fy/z"}, {target: "/p/x/y%2Fz"}, {target: "/p/x:y/z"}, {target: "/p/x/y:z"},
			{target: "/p/x%3Ay/z"}, {target: "/p/x/y%3Az"}, {target: "/p/%78/y"}, {target: "/p/x/y?"}, {target: "/p/x/y?a=1&a=2"},
			{target: "/p/x/y?a=2&a=1"}, {target: "/p/x/y?a=1%26a=2"}, {target: "/p/x/y?a=1,2"}, {target: "/p/x/y?a"},
			{target: "/p/x/y?a="}, {target: "/p/x/y?a=+"}, {target: "/p/x/y?a=%20"}, {target: "/q/x/y/z"}, {target: "/q/x/y%2Fz"},
			{target: "/q/x/y?z"}, {target: "/q/x/y%3Fz"},
			{target: "/p/x/y", host: "other.example"}, {target: "/p/x/y", host: "example.com:8080"},
			{target: "/p/x/y", header: []string{"X-Tenant", "a"}}, {target: "/p/x/y", header: []string{"X-Tenant", "a, b"}},
			{target: "/p/x/y", header: []string{"X-Tenant", "a", "X-Tenant", "b"}}, {target: "/p/x/y", header: []string{"X-Tenant", ""}},
			{target: "/p/x/y", header: []string{"X-Tenant", "a,b"}}, {target: "/p/x/y", header: []string{"X-Tenant", "A"}},
			{target: "/p/x/y", header: []string{"Cookie", "region=a"}}, {target: "/p/x/y", header: []string{"Cookie", "region=a;"}},
			{target: "/p/x/y", header: []string{"Cookie", "region="}}, {target: "/p/x/y", header: []string{"Cookie", "region=a; region=b"}},
			{target: "/p/x/y", header: []string{"Cookie", "region=a", "Cookie", "region=b"}},
			{target: "/p/x/y", header: []string{"Cookie", `region="a; x=b"`}}, {target: "/p/x/y", header: []string{"Cookie", "REGION=a"}},
			{target: "/p/x/y", header: []string{"X-Tenant", "region", "Cookie", "region=a"}},
		}
		ask := func(q request) string {
			header := q.header
			if q.host != "" {
				header = append([]string{"Host", q.host}, header...)
			}
			a := b.do("GET", q.target, header...)
			synctest.Wait()
			return a.body
		}
		first := map[string]request{}
		for round := range 2 {
			for _, q := range requests {
				body := ask(q)
				if was, seen := first[body]; round == 0 && seen {
					// The same answer is right only for what the origin cannot tell apart.
					if was.target != q.target || was.host != q.host || strings.Contains(fmt.Sprint(q.header), "X-Tenant") {
						t.Errorf("%v and %v had the same answer %q", was, q, body)
					}
				}
				first[body] = q
				host := q.host
				if host == "" {
					host = "example.com"
				}
				if !strings.HasPrefix(body, host+"|"+q.target+"|") {
					t.Errorf("round %d: %v was answered with %q", round, q, body)
				}
				tenants := []string(nil)
				for i := 0; i < len(q.header); i += 2 {
					if q.header[i] == "X-Tenant" {
						tenants = append(tenants, q.header[i+1])
					}
				}
				if !strings.Contains(body, fmt.Sprintf("|%q|", tenants)) {
					t.Errorf("round %d: %v was answered with %q", round, q, body)
				}
			}
		}
	})
}

// What no key holds does not reach the origin on a fill.
func TestFillForwardsNothingUndeclared(t *testing.T) {
	var seen atomic.Pointer[http.Header]
	backend := func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		seen.Store(&h)
		w.Header().Set("Cache-Control", "max-age=60")
	}
	route := routeFor(t, "all", func(r *policy.Route) {
		r.Headers, r.Cookies, r.IgnoreAllCookies, r.OnUnlisted = []string{"X-Tenant"}, []string{"region"}, true, policy.UnlistedDrop
	}, "/")
	inBubble(t, backend, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a", "X-Tenant", "t", "X-Unknown", "u", "X-Forwarded-For", "10.9.8.7", "X-Forwarded-Host", "evil.example",
			"X-Forwarded-Proto", "https", "Forwarded", "for=10.9.8.7", "X-Real-Ip", "10.9.8.7", "Cookie", "session=s; region=eu",
			"X-Original-URL", "/admin", "X_Tenant", "x", "Cache-Control", "max-age=0", "If-None-Match", `"x"`, "User-Agent", "me",
			"Accept-Language", "de", "Referer", "http://r.example/", "Origin", "http://o.example", "X-Request-Id", "session-of-mine").
			want(t, "fill", 200, "", "stored")
		var names []string
		for name, values := range *seen.Load() {
			names = append(names, name)
			for _, v := range values {
				if strings.Contains(v, "10.9.8.7") || strings.Contains(v, "192.0.2.1") || strings.Contains(v, "evil") || strings.Contains(v, "session") {
					t.Errorf("the origin saw %s: %s", name, v)
				}
			}
		}
		sort.Strings(names)
		const want = "Accept-Language Cookie Forwarded Origin User-Agent Via X-Forwarded-Host X-Forwarded-Proto X-Request-Id X-Tenant"
		for _, name := range names {
			if !strings.Contains(want, name) {
				t.Errorf("the origin saw %s: %q", name, (*seen.Load())[name])
			}
		}
		if got := seen.Load().Get("User-Agent"); got == "me" {
			t.Errorf("the origin saw the client's User-Agent")
		}
		if got := seen.Load().Get("Cookie"); got != "region=eu" {
			t.Errorf("the origin saw Cookie %q, want the declared one", got)
		}
	})
}

// A Vary that names a field which no fill forwards selects nothing: such a request asks the origin once, and then hits.
func TestVaryOnFieldsThatAreNotForwarded(t *testing.T) {
	for name, field := range map[string]string{"ignored cookies": "Cookie", "what proxies add": "X-Forwarded-For"} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			route := routeFor(t, "all", func(r *policy.Route) { r.IgnoreAllCookies = true }, "/")
			inBubble(t, counted(&asked, set("Vary", field)), rigOptions{}, route, func(b *bubble) {
				b.do("GET", "/a", field, "a=1").want(t, "first", 200, "1", "stored")
				synctest.Wait()
				b.do("GET", "/a", field, "a=2").want(t, "another value", 200, "1", "hit")
				b.do("GET", "/a").want(t, "none", 200, "1", "hit")
				if n := asked.Load(); n != 1 {
					t.Errorf("the origin was asked %d times, want once", n)
				}
			})
		})
	}
}

// A 304 may leave out what the 200 said (RFC 9110 §15.4.5); the copy that it confirms still bears its tags.
func TestConfirmedCopyKeepsItsTags(t *testing.T) {
	for _, field := range []string{"Surrogate-Key", "Xkey", "Cache-Tag"} {
		t.Run(field, func(t *testing.T) {
			var asked atomic.Int64
			backend := func(n int64, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("ETag", `"v"`)
				w.Header().Set("Cache-Control", "no-cache")
				if r.Header.Get("If-None-Match") == `"v"` {
					w.Header().Set("Cache-Control", "max-age=60")
					w.WriteHeader(http.StatusNotModified)
					return false
				}
				w.Header().Set(field, "red")
				return true
			}
			inBubble(t, counted(&asked, backend), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				b.do("GET", "/a")
				synctest.Wait()
				b.do("GET", "/a").want(t, "confirmed", 200, "1", "fwd-status=304; stored")
				b.do("GET", "/a").want(t, "hit", 200, "1", "hit")
				b.invalidate(tag("red"))
				b.do("GET", "/a").want(t, "after the purge", 200, "3", "fwd=")
			})
		})
	}
}

// Observed requests go to the origin as they came; what it answers to them must not be served to anybody.
func TestObservedAnswersAreNotServedLater(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "cookie "+r.Header.Get("Cookie")+", for "+r.Header.Get("X-Forwarded-For"))
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.IgnoreAllCookies, r.Mode = true, policy.Observe }, "/")
	inBubble(t, backend, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a", "Cookie", "user=alice")
		if err := b.proxy.SetMode("all", ModeOrder{Mode: policy.On}); err != nil {
			t.Fatal(err)
		}
		b.do("GET", "/a").want(t, "after switching on", 200, "cookie , for ", "fwd=")
	})
}

// RFC 9110 §6.6.1: an answer without Date gets the time of its arrival, not that of each delivery.
func TestAgeAndDate(t *testing.T) {
	var asked atomic.Int64
	undated := func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		w.Header()["Date"] = nil
		w.Header().Set("Age", "7")
		return true
	}
	inBubble(t, counted(&asked, undated), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		first := b.do("GET", "/a")
		first.want(t, "fill", 200, "1", "stored")
		if first.header.Get("Age") != "7" {
			t.Errorf("Age %q, want the origin's 7", first.header.Get("Age"))
		}
		b.pass(5e9)
		for _, method := range []string{"GET", "HEAD"} {
			hit := b.do(method, "/a")
			if hit.header.Get("Age") != "12" || hit.header.Get("Date") == "" || hit.header.Get("Date") != first.header.Get("Date") {
				t.Errorf("%s: Age %q, Date %q; want 12, %q", method, hit.header.Get("Age"), hit.header.Get("Date"), first.header.Get("Date"))
			}
			if hit.header.Get("Content-Length") != "1" {
				t.Errorf("%s: Content-Length %q", method, hit.header.Get("Content-Length"))
			}
		}
	})
}

func TestVariantsAreCapped(t *testing.T) {
	var asked atomic.Int64
	echo := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Vary", "X-Lang")
		io.WriteString(w, r.Header.Get("X-Lang"))
		return false
	}
	inBubble(t, counted(&asked, echo), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		for i := range 300 {
			lang := fmt.Sprint(i)
			if a := b.do("GET", "/a", "X-Lang", lang); a.body != lang {
				t.Fatalf("variant %s was answered with %q", lang, a.body)
			}
			synctest.Wait()
		}
		b.do("GET", "/a", "X-Lang", "299").want(t, "the latest", 200, "299", "hit")
		b.do("GET", "/a", "X-Lang", "0").want(t, "the oldest", 200, "0", "fwd=vary-miss")
		b.store.Memory().Settle()
		if n := b.store.Memory().Entries(); n > 70 {
			t.Errorf("%d entries for one URL", n)
		}
	})
}

func TestTrailersReachTheFirstClientOnly(t *testing.T) {
	more := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		<-more
		w.Header().Set("X-Sum", "42")
	}, rigOptions{}, routeFor(t, "all", nil, "/"))
	open := func() *http.Response {
		resp, err := r.client.Get(r.front.URL + "/a")
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	lead := open()
	follow := open()
	close(more)
	for resp, want := range map[*http.Response]string{lead: "42", follow: ""} {
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "body" {
			t.Errorf("%q, %v", body, err)
		}
		resp.Body.Close()
		if got := resp.Trailer.Get("X-Sum"); got != want {
			t.Errorf("trailer %q, want %q", got, want)
		}
	}
}
