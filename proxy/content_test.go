package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
)

// searching is a route with reads that carry content.
func searching(t *testing.T, graphQL bool) *policy.Route {
	return routeFor(t, "search", func(r *policy.Route) {
		r.TTL = 10 * time.Second
		r.Content = policy.ContentReads{Max: 100, GraphQL: graphQL}
	}, "QUERY /search", "POST /search", "GET /search", "PUT /search")
}

// echoed answers with what the origin got.
func echoed(n int64, w http.ResponseWriter, r *http.Request) bool {
	content, _ := io.ReadAll(r.Body)
	w.Header().Set("Got", fmt.Sprintf("%s %s %s %d", r.Method, content, r.Header.Get("Content-Type"), r.ContentLength))
	return true
}

func TestReadsWithContent(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, counted(&asked, echoed), rigOptions{}, searching(t, false), func(b *bubble) {
		do := func(method, content string, header ...string) answer {
			a := b.serve(b.t.Context(), method, "/search", strings.NewReader(content), header...)
			synctest.Wait()
			return a
		}
		for i, method := range []string{"QUERY", "POST"} {
			n := func(k int) string { return fmt.Sprint(5*i + k) }
			a := do(method, "q=a", "Content-Type", "text/a")
			a.want(t, "a question", 200, n(1), "fwd=uri-miss; fwd-status=200; stored")
			if got := a.header.Get("Got"); got != method+" q=a text/a 3" {
				t.Errorf("the origin got %q", got)
			}
			do(method, "q=a", "Content-Type", "text/a").want(t, "the same question", 200, n(1), "hit")
			do(method, "q=b", "Content-Type", "text/a").want(t, "another content", 200, n(2), "stored")
			do(method, "q=a", "Content-Type", "text/b").want(t, "another media type", 200, n(3), "stored")
			do(method, "q=a", "Content-Type", "text/a", "Authorization", "x").want(t, "credentials", 200, n(4), "fwd=bypass; fwd-status=200; detail=authorization")
			do(method, "q=a", "Content-Type", "text/a").want(t, "none of it wrote", 200, n(1), "hit")
			if a := do(method, strings.Repeat("x", 101)); a.header.Get("Got") != method+" "+strings.Repeat("x", 101)+"  101" {
				t.Errorf("%s with too much content went to the origin as %q", method, a.header.Get("Got"))
			}
		}
		// The POST with too much content was a write to the URL, after which everything of it is gone.
		do("QUERY", "q=a", "Content-Type", "text/a").want(t, "after a write", 200, "11", "detail=purged")
		do("PUT", "x").want(t, "a write", 200, "12", "")
		do("QUERY", "q=a", "Content-Type", "text/a").want(t, "after a write", 200, "13", "detail=purged")
		do("GET", "").want(t, "a GET is another read", 200, "14", "stored")
		b.invalidate(policy.URLMembers("example.com", "/search", "", false)...)
		do("QUERY", "q=a", "Content-Type", "text/a").want(t, "purged by URL", 200, "15", "detail=purged")
	})
}

// A question is confirmed with QUERY, and asked again with POST: there If-None-Match would be a condition on doing it.
func TestReadsWithContentAreConfirmed(t *testing.T) {
	for method, want := range map[string]string{"QUERY": "revalidated", "POST": "fwd=stale; fwd-status=200; stored"} {
		var conditional atomic.Int64
		backend := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"e"`)
			if r.Header.Get("If-None-Match") != "" {
				conditional.Add(1)
				w.WriteHeader(http.StatusNotModified)
				return
			}
			content, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "for %s", content)
		}
		inBubble(t, backend, rigOptions{}, searching(t, false), func(b *bubble) {
			ask := func() answer { return b.serve(b.t.Context(), method, "/search", strings.NewReader("q")) }
			ask().want(t, method, 200, "for q", "stored")
			b.pass(11 * time.Second)
			a := ask()
			if a.body != "for q" || (conditional.Load() == 1) != (method == "QUERY") {
				t.Errorf("%s: %q after %d conditional requests, Cache-Status %q, want %s", method, a.body, conditional.Load(), a.header.Get("Cache-Status"), want)
			}
		})
	}
}

// QUERY has conditions like GET's, on its result; of POST a copy's result comes whole.
func TestReadsWithContentAreConditional(t *testing.T) {
	for method, want := range map[string]int{"QUERY": 304, "POST": 200} {
		inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"e"`)
			if r.Header.Get("If-None-Match") != "" {
				t.Errorf("%s: the origin got the condition of one client", method)
			}
		}, rigOptions{}, searching(t, false), func(b *bubble) {
			b.serve(b.t.Context(), method, "/search", strings.NewReader("q")).want(t, method, 200, "", "stored")
			b.serve(b.t.Context(), method, "/search", strings.NewReader("q"), "If-None-Match", `"e"`).want(t, method+" with what it has", want, "", "hit")
			b.serve(b.t.Context(), method, "/search", strings.NewReader("q"), "If-None-Match", `"f"`).want(t, method+" with something else", 200, "", "hit")
		})
	}
}

// A GraphQL mutation is a write, however often it is sent: each reaches the origin, and none is answered from a copy.
func TestGraphQL(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, counted(&asked, echoed), rigOptions{}, searching(t, true), func(b *bubble) {
		do := func(content string) answer {
			a := b.serve(b.t.Context(), "POST", "/search", strings.NewReader(content), "Content-Type", "application/json")
			synctest.Wait()
			return a
		}
		do(`{"query":"{ a }"}`).want(t, "a query", 200, "1", "stored")
		do(`{"query":"{ a }"}`).want(t, "the same query", 200, "1", "hit")
		do(`{"query":"mutation { a }"}`).want(t, "a mutation", 200, "2", "fwd=method")
		do(`{"query":"mutation { a }"}`).want(t, "the same mutation", 200, "3", "fwd=method")
		do(`{"query":"{ a }"}`).want(t, "the query after it", 200, "4", "detail=purged")
	})
}

// Those who ask the same at once are answered by one request.
func TestReadsWithContentAreCoalesced(t *testing.T) {
	var asked atomic.Int64
	slow := func(n int64, w http.ResponseWriter, r *http.Request) bool {
		<-time.After(time.Second)
		return echoed(n, w, r)
	}
	inBubble(t, counted(&asked, slow), rigOptions{}, searching(t, false), func(b *bubble) {
		answers := make(chan answer)
		for i := range 20 {
			go func() {
				answers <- b.serve(b.t.Context(), "QUERY", "/search", strings.NewReader(fmt.Sprint("q=", i%2)))
			}()
		}
		for range 20 {
			if a := <-answers; a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		if asked.Load() != 2 {
			t.Errorf("the origin was asked %d times, want once for each of 2 questions", asked.Load())
		}
	})
}

// A question may have no content at all, however that is framed: what is asked stands in the query then.
func TestReadsWithEmptyContent(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, counted(&asked, nil), rigOptions{}, searching(t, false), func(b *bubble) {
		b.do("GET", "/search?q=a").want(t, "a GET", 200, "1", "stored")
		for i, method := range []string{"QUERY", "POST"} {
			for _, body := range []io.Reader{nil, http.NoBody, strings.NewReader(""), io.MultiReader()} {
				a := b.serve(b.t.Context(), method, "/search?q=a", body)
				synctest.Wait()
				if a.body != fmt.Sprint(2+i) {
					t.Errorf("%s with %T: got %q, %s; want %d", method, body, a.body, a.header.Get("Cache-Status"), 2+i)
				}
			}
		}
		b.do("GET", "/search?q=a").want(t, "which wrote nothing", 200, "1", "hit")
	})
}
