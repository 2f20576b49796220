package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cacheproxy/policy"
)

// What a request is does not depend on the way that it takes: looked up or passed, whatever for. A write is one on every way
// (RFC 9111 §4.4), in doubt too, and what is none leaves the copies.
func TestWritesOnEveryWay(t *testing.T) {
	const (
		mutation = "query=mutation%7Bbuy%7D"
		read     = `{"query":"{a}"}`
		buy      = `{"query":"mutation{buy}"}`
	)
	off := func(r *policy.Route) { r.Mode = policy.Off }
	ways := []struct {
		name   string
		route  func(*policy.Route)
		path   string
		header []string
	}{
		{"looked up", nil, "/api", nil},
		{"observed", func(r *policy.Route) { r.Mode = policy.Observe }, "/api", nil},
		{"switched off", off, "/api", nil},
		{"bypass", func(r *policy.Route) { r.Policy = policy.Bypass }, "/api", nil},
		{"with a cookie", nil, "/api", []string{"Cookie", "a=b"}},
		{"with credentials", nil, "/api", []string{"Authorization", "x"}},
		{"a range", nil, "/api", []string{"Range", "items=0-1"}},
		{"an upgrade", nil, "/api", []string{"Connection", "Upgrade", "Upgrade", "websocket"}},
	}
	tried := allUnlessRace()
	unclean := ways[0]
	unclean.name, unclean.path = "by a path that is not clean", "//api"
	for _, c := range []struct {
		about, method, query, content string
		header                        []string
		graphQL, write                bool
		clean                         bool // only by a clean path: without a route, no content is read
	}{
		{about: "GET", method: "GET"},
		{about: "a safe method of WebDAV", method: "PROPFIND", content: "x"},
		{about: "SEARCH", method: "SEARCH", content: "x"},
		{about: "REPORT", method: "REPORT", content: "x"},
		{about: "PUT", method: "PUT", content: "x", write: true},
		{about: "a method that is not known", method: "FROB", write: true},
		{about: "GET for DELETE", method: "GET", header: []string{"X-Http-Method-Override", "DELETE"}, write: true},
		{about: "GET for DELETE, by the rules of CGI", method: "GET", header: []string{"X_http_method_override", "DELETE"}, write: true},

		{about: "a search", method: "POST", query: "page=2", content: "q=a", clean: true},
		{about: "a search without content", method: "POST", query: "page=2", clean: true},
		{about: "a search with a parameter that nobody declared", method: "POST", query: "_method=delete", content: "q=a", write: true},
		{about: "a search with a query that servers read differently", method: "POST", query: "page=2;x", content: "q=a", write: true},
		{about: "a search with a field that nobody declared", method: "POST", content: "q=a", header: []string{"X-Action", "delete"}, write: true},
		{about: "a search for PUT", method: "POST", content: "q=a", header: []string{"X-Http-Method", "PUT"}, write: true},
		{about: "a search that is too long", method: "POST", content: strings.Repeat("x", 101), write: true},

		{about: "a GraphQL query", method: "POST", content: read, graphQL: true, clean: true},
		{about: "a mutation", method: "POST", content: buy, graphQL: true, write: true},
		{about: "a mutation beside a query", method: "POST", query: mutation, content: read, graphQL: true, write: true},
		{about: "no GraphQL", method: "POST", graphQL: true, write: true},
		{about: "a query in the URL", method: "GET", query: "query=%7Ba%7D&page=2", graphQL: true},
		{about: "a persisted query in the URL", method: "GET", query: "extensions=%7B%7D&operationName=a", graphQL: true},
		{about: "a mutation in the URL", method: "GET", query: mutation, graphQL: true, write: true},
		{about: "a mutation in the URL, HEAD", method: "HEAD", query: mutation, graphQL: true, write: true},
		{about: "a mutation in the URL, by another name", method: "GET", query: "page=2;qu%65ry=mutation+%7Bbuy%7D", graphQL: true, write: true},
		{about: "two documents in the URL", method: "GET", query: "query=%7Ba%7D&" + mutation, graphQL: true, write: true},
		{about: "a document that cannot be read", method: "GET", query: "query=%7Ba", graphQL: true, write: true},
		{about: "a mutation beside GET", method: "GET", content: buy, graphQL: true, write: true},
		{about: "a mutation in the URL of a QUERY", method: "QUERY", query: mutation, content: read, graphQL: true, write: true},
	} {
		for _, way := range append([]struct {
			name   string
			route  func(*policy.Route)
			path   string
			header []string
		}{unclean}, ways...) {
			if c.clean && way.path != "/api" || !tried() {
				continue
			}
			t.Run(c.about+" "+way.name, func(t *testing.T) {
				api := routeFor(t, "api", func(r *policy.Route) {
					r.Content = policy.ContentReads{Max: 100, GraphQL: c.graphQL}
					r.Query = policy.Query{Include: []string{"page", "query", "operationName", "extensions"}}
					r.Invalidates = &policy.Invalidates{Routes: []string{"products"}}
					if way.route != nil {
						way.route(r)
					}
				}, "GET /api", "POST /api", "QUERY /api", "/api")
				products := routeFor(t, "products", nil, "GET /products/")
				var asked atomic.Int64
				inBubble(t, counted(&asked, nil), rigOptions{routes: []*policy.Route{products}}, api, func(b *bubble) {
					b.do("GET", "/products/1").want(t, "before", 200, "1", "stored")
					target := way.path
					if c.query != "" {
						target += "?" + c.query
					}
					var content io.Reader
					if c.content != "" {
						content = strings.NewReader(c.content)
					}
					header := append([]string{"Content-Type", "application/json"}, way.header...)
					b.serve(b.t.Context(), c.method, target, content, append(header, c.header...)...)
					synctest.Wait()
					if gone := b.do("GET", "/products/1").body != "1"; gone != c.write {
						t.Errorf("taken for a write: %t, want %t", gone, c.write)
					}
				})
			})
		}
	}
}

// What comes after the content of a question does not make it a write. No key holds it and no fill sends it, so that it passes; what
// was announced and does not come is nothing.
func TestQuestionsWithTrailers(t *testing.T) {
	for _, graphQL := range []bool{false, true} {
		content := map[bool]string{false: "q=a", true: `{"query":"{a}"}`}[graphQL]
		for _, c := range []struct {
			about string
			empty bool
			sent  []string
			pass  bool
		}{
			{about: "announced and sent", sent: []string{"b"}, pass: true},
			{about: "announced"},
			{about: "announced, without content", empty: true},
		} {
			if c.empty && graphQL {
				continue // which is no query
			}
			t.Run(fmt.Sprint(c.about, graphQL), func(t *testing.T) {
				var asked atomic.Int64
				inBubble(t, counted(&asked, nil), rigOptions{}, searching(t, graphQL), func(b *bubble) {
					b.do("GET", "/search").want(t, "before", 200, "1", "stored")
					ask := func() answer {
						text := content
						if c.empty {
							text = ""
						}
						r := httptest.NewRequestWithContext(b.t.Context(), "POST", "/search", nil)
						r.Header.Set("Content-Type", "application/json")
						r.Trailer = http.Header{"X-T": nil}
						r.Body, r.ContentLength = &trailing{strings.NewReader(text), r, c.sent}, -1
						a := b.answer(r)
						synctest.Wait()
						return a
					}
					first, second := ask(), ask()
					if passed := second.body != first.body; passed != c.pass {
						t.Errorf("passes: %t, want %t (%s)", passed, c.pass, second.header.Get("Cache-Status"))
					}
					b.do("GET", "/search").want(t, "after", 200, "1", "hit")
				})
			})
		}
	}
}

// trailing is a content after which trailer fields come.
type trailing struct {
	io.Reader
	r     *http.Request
	lines []string
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF && b.lines != nil {
		b.r.Trailer = http.Header{"X-T": b.lines}
	}
	return n, err
}

func (b *trailing) Close() error { return nil }

// To say that it knows no method of this name is to decline it (RFC 9110 §15.6.2). Of a method that everybody knows 501 may come
// after the work was begun.
func TestNotImplemented(t *testing.T) {
	for _, c := range []struct {
		method, override string
		gone             bool
	}{
		{"FROB", "", false}, {"LOCK", "", false}, {"POST", "", true}, {"DELETE", "", true}, {"GET", "DELETE", true},
	} {
		inBubble(t, counting(func(h http.Header, r *http.Request) int {
			h.Set("Cache-Control", "max-age=60")
			if r.Method != "GET" || r.Header.Get("X-Http-Method-Override") != "" {
				return http.StatusNotImplemented
			}
			return 200
		}), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
			b.do("GET", "/a").want(t, "before", 200, "1", "stored")
			header := []string{}
			if c.override != "" {
				header = []string{"X-Http-Method-Override", c.override}
			}
			b.do(c.method, "/a", header...)
			if gone := b.do("GET", "/a").body != "1"; gone != c.gone {
				t.Errorf("%s %s answered 501 counts as done: %t, want %t", c.method, c.override, gone, c.gone)
			}
		})
	}
}
