package policy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

func jsonHeader(extra ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(extra); i += 2 {
		h[extra[i]] = []string{extra[i+1]}
	}
	return h
}

func TestMayAsk(t *testing.T) {
	r := newRoute(t, "search", "QUERY /search", "POST /search", "/all")
	table := mustTable(t, r)
	for _, c := range []struct {
		method, path string
		may          bool
	}{
		{"QUERY", "/search", true}, {"POST", "/search", true},
		{"QUERY", "/all", false}, {"POST", "/all", false}, // a pattern that has all methods opts in to none
		{"GET", "/all", false},
	} {
		m, _ := table.Match(c.method, target(t, c.path), nil, netip.Addr{})
		r.Content = ContentReads{}
		if r.Content.MayRead(m.Pattern(), c.method) {
			t.Errorf("%s %s may be a read without opting in", c.method, c.path)
		}
		r.Content.Max = 100
		if got := r.Content.MayRead(m.Pattern(), c.method); got != c.may {
			t.Errorf("%s %s may be a read: %t, want %t", c.method, c.path, got, c.may)
		}
	}
}

// What is not surely a query is a write (GraphQL over HTTP §5.3, GraphQL §6.1).
func TestAsksGraphQL(t *testing.T) {
	r := &Route{Content: ContentReads{Max: 1 << 10, GraphQL: true}}
	for _, c := range []struct {
		name, content string
		header        http.Header
		read          bool
	}{
		{"shorthand", `{"query":"{ a }"}`, nil, true},
		{"query", `{"query":"query A($x: Int) { a(x: $x) { b } }","operationName":"A","variables":{"x":1}}`, nil, true},
		{"two queries", `{"query":"query A { a } query B { b }","operationName":"B"}`, nil, true},
		{"a fragment", `{"query":"{ ...f } fragment f on T { a }"}`, nil, true},
		{"media type with charset", `{"query":"{ a }"}`, http.Header{"Content-Type": {"Application/JSON; charset=UTF-8"}}, true},
		{"extensions", `{"query":"{ a }","extensions":{"persistedQuery":{"version":1}}}`, nil, true},

		{"mutation", `{"query":"mutation { a }"}`, nil, false},
		{"subscription", `{"query":"subscription { a }"}`, nil, false},
		{"a mutation that is not meant", `{"query":"query A { a } mutation B { b }","operationName":"A"}`, nil, false},
		{"a mutation behind a comment", `{"query":"# query\nmutation { a }"}`, nil, false},
		{"a mutation with escapes", `{"query":"\u006dutation { a }"}`, nil, false},
		{"the word in a string", `{"query":"{ a(x: \"mutation { b }\") }"}`, nil, true},
		{"no operation", `{"query":"fragment f on T { a }"}`, nil, false},
		{"a syntax error", `{"query":"{ a "}`, nil, false},
		{"a schema", `{"query":"type T { a: Int }"}`, nil, false},
		{"empty", `{"query":""}`, nil, false},
		{"no document", `{"operationName":"A"}`, nil, false},
		{"a persisted document", `{"extensions":{"persistedQuery":{"sha256Hash":"x"}}}`, nil, false},
		{"a document by another name", `{"query":"{ a }","documentId":"x"}`, nil, false},
		{"a name twice", `{"query":"{ a }","query":"mutation { a }"}`, nil, false},
		{"a name in two cases", `{"query":"{ a }","Query":"mutation { a }"}`, nil, false},
		{"a batch", `[{"query":"{ a }"}]`, nil, false},
		{"not a string", `{"query":{"a":1}}`, nil, false},
		{"not JSON", `query={a}`, nil, false},
		{"no content", ``, nil, false},
		{"another media type", `{"query":"{ a }"}`, http.Header{"Content-Type": {"text/plain"}}, false},
		{"no media type", `{"query":"{ a }"}`, http.Header{}, false},
		{"two media types", `{"query":"{ a }"}`, http.Header{"Content-Type": {"application/json", "text/plain"}}, false},
		{"another charset", `{"query":"{ a }"}`, http.Header{"Content-Type": {"application/json; charset=utf-7"}}, false},
		{"a coding", `{"query":"{ a }"}`, jsonHeader("Content-Encoding", "gzip"), false},
		{"too deep", `{"query":"` + strings.Repeat("{a", 400) + strings.Repeat("}", 400) + `"}`, nil, false},
		{"too large", `{"query":"{ a }` + strings.Repeat(" ", 1<<10) + `"}`, nil, false},
	} {
		h := c.header
		if h == nil {
			h = jsonHeader()
		}
		if got := r.Content.Reads("POST", httpcache.Target{}, h, []byte(c.content)); got != c.read {
			t.Errorf("%s: a read: %t, want %t", c.name, got, c.read)
		}
	}
	for query, read := range map[string]bool{"": true, "page=2": true, "query=mutation{a}": false, "a=1&%71uery=x": false, "operationName=b": false, "variables": false} {
		if got := r.Content.Reads("POST", httpcache.Target{Query: query, HasQuery: true}, jsonHeader(), []byte(`{"query":"{ a }"}`)); got != read {
			t.Errorf("with %q in the URL, a read: %t, want %t", query, got, read)
		}
	}
	if !r.Content.Reads("QUERY", httpcache.Target{}, jsonHeader(), []byte(`anything`)) {
		t.Error("RFC 10008 §2: QUERY is safe, whatever it asks")
	}
	r.Content.GraphQL = false
	if !r.Content.Reads("POST", httpcache.Target{}, http.Header{}, []byte(`q=a`)) {
		t.Error("a POST of a route that takes all of them for reads is not one")
	}
}

func TestPlanContent(t *testing.T) {
	r := newRoute(t, "search", "POST /search")
	r.Caches, r.Content.Max = true, 100
	request := func(header ...string) *http.Request {
		req := httptest.NewRequest("POST", "/search", strings.NewReader("q"))
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return req
	}
	for _, c := range []struct {
		name string
		mode Mode
		req  *http.Request
		want string
	}{
		{"a question", On, request(), "read"},
		{"observed", Observe, request(), "read"},
		{"switched off, it does not write", Off, request(), "pass mode-off"},
		{"credentials", On, request("Authorization", "x"), "pass authorization"},
		{"a cookie", On, request("Cookie", "a=b"), "pass cookie"},
	} {
		action, reason := PlanRequest(r, c.mode, Asked{Request: c.req, Question: true}, nil)
		if got := strings.TrimSpace(action.String() + " " + reason.String()); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// RFC 10008 §2.7: the content and what describes it are part of the key.
func TestAppendContent(t *testing.T) {
	seen := map[string]string{}
	for _, method := range []string{"QUERY", "POST"} {
		for _, h := range []http.Header{
			{}, jsonHeader(), {"Content-Type": {"text/plain"}}, jsonHeader("Content-Encoding", "gzip"), jsonHeader("Content-Language", "gzip"),
		} {
			for _, content := range []string{"", "a", "b", "aa"} {
				key := string(AppendContent([]byte("key"), method, h, []byte(content)))
				what := fmt.Sprint(method, h, content)
				if other, taken := seen[key]; taken {
					t.Errorf("%s and %s share a key", what, other)
				}
				seen[key] = what
			}
		}
	}
}

// Whatever the content, classifying it does not panic, and a document that holds no letters of "query" or "{" is no read.
func FuzzAsksGraphQL(f *testing.F) {
	f.Add(`{"query":"{ a }"}`)
	f.Add(`{"query":"query A { a } mutation B { b }"}`)
	f.Fuzz(func(t *testing.T, content string) {
		if asksGraphQL(jsonHeader(), []byte(content)) && !strings.Contains(content, `"`) {
			t.Fatal("a read without a document")
		}
	})
}

// A read with content that names another method is a write.
func TestPlanContentWithAnotherMethod(t *testing.T) {
	r := &Route{Caches: true, Content: ContentReads{Max: 1 << 10}}
	req := &http.Request{Method: "POST", Header: header("X-Http-Method-Override: PUT")}
	if action, reason := PlanRequest(r, On, Asked{Request: req, Question: true}, nil); action != WriteAction || reason != MethodUnsafe {
		t.Errorf("%v %v", action, reason)
	}
}
