package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// For what requests went past the cache is told by name.
func TestBypassesAreNamed(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if theme := r.Header.Get("X-Theme"); theme != "" {
			w.Header().Set("Vary", "X-Theme")
		}
		io.WriteString(w, "a")
	}
	route := routeFor(t, "all", func(r *policy.Route) {
		r.IgnoreCookies, r.Query = []string{"seen"}, policy.Query{Include: []string{"page"}}
	}, "/")
	inBubble(t, backend, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a", "X-Foo", "1", "X-Bar", "2", "User-Agent", "u")
		b.do("GET", "/a", "X-Foo", "1")
		b.do("GET", "/a", "X-Theme", "dark") // which the answer names in Vary: it is none from the next on
		b.do("GET", "/a", "X-Theme", "dark")
		b.do("GET", "/a?page=1&utm=2&utm=3")
		b.do("GET", "/a", "Cookie", "sid=1; seen=2")
		b.do("GET", "/a", "Authorization", "Bearer t") // which has no names
		b.do("GET", "/a")
		e, err := b.proxy.Explain("GET", "/a?q=1&page=2", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		want := "[cookie sid: 1 requests header X-Foo: 2 requests header X-Bar: 1 requests header X-Theme: 1 requests query utm: 1 requests]"
		if got := fmt.Sprint(e.Bypasses); got != want || fmt.Sprint(e.UnlistedParameters) != "[q]" {
			t.Errorf("got %s, %v\nwant %s", got, e.UnlistedParameters, want)
		}
		if e, err := b.proxy.Explain("GET", "/a", http.Header{"Cookie": {"b=1; seen=2; a=3"}}); err != nil || fmt.Sprint(e.UnlistedCookies) != "[a b]" {
			t.Errorf("%v, %v", e, err)
		}
	})
}

// On an observed route it is seen whether what sends requests past the cache chooses the answer. Nothing of such an answer is kept.
func TestObserveComparesBypasses(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "tenant %s, page %s", r.Header.Get("X-Tenant"), r.URL.Query().Get("page"))
	}
	route := routeFor(t, "all", observing(func(r *policy.Route) { r.Query = policy.Query{Include: []string{"page"}, Exclude: []string{"utm"}} }), "/")
	inBubble(t, backend, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a?page=1", "X-Tenant", "first").want(t, "without a copy", 200, "tenant first, page 1", "fwd=bypass; fwd-status=200; detail=header-unlisted")
		b.do("GET", "/a?page=1").want(t, "a copy comes", 200, "tenant , page 1", "detail=would_miss")
		for _, tenant := range []string{"a", "b", ""} {
			b.do("GET", "/a?utm=2&page=1", "X-Tenant", tenant, "X-Same", "1").want(t, "with a copy", 200, "tenant "+tenant+", page 1", "detail=header-unlisted")
		}
		b.do("GET", "/a?page=1", "X-Same", "1", "If-None-Match", `"x"`)
		b.do("GET", "/a?page=1").want(t, "the copy is the old one", 200, "tenant , page 1", "detail=observe")
		observations{hit: 1, miss: 1, pass: 5}.check(t, b, "no comparison of a read")
		e, err := b.proxy.Explain("GET", "/a", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		want := "header X-Same: 4 requests, 2 of 4 compared answers differed; header X-Tenant: 4 requests, 2 of 3 compared answers differed"
		if got := strings.Join(e.Bypasses, "; "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		b.do("GET", "/a?page=1", "X-New", "1")
		if e, err = b.proxy.Explain("GET", "/a", http.Header{}); err != nil || !strings.HasSuffix(e.Bypasses[len(e.Bypasses)-1], "header X-New: 1 requests, 0 of 1 compared answers differed: a candidate for ignore_headers") {
			t.Errorf("%v, %v", e.Bypasses, err)
		}
	})
}
