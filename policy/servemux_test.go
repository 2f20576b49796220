package policy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

// muxHandler is registered so that ServeMux can choose; it is never called.
type muxHandler struct{}

func (muxHandler) ServeHTTP(http.ResponseWriter, *http.Request) {}

// register tells how ServeMux takes a pattern: "", "parse" or "conflict".
func register(mux *http.ServeMux, s string) (outcome string) {
	defer func() {
		if p := recover(); p != nil {
			outcome = "parse"
			if strings.Contains(fmt.Sprint(p), "conflicts with pattern") {
				outcome = "conflict"
			}
		}
	}()
	mux.Handle(s, muxHandler{})
	return ""
}

// stricter reports whether a pattern is among those on which we differ from ServeMux on purpose: those that it takes
// although nothing clean can match them, hosts in capitals, and literals that it mistakes for {$} or a wildcard.
func stricter(s string) bool {
	_, s, _ = strings.Cut(" "+s, " ")
	if i := strings.LastIndexAny(s, " \t"); i >= 0 {
		s = s[i+1:]
	}
	slash := strings.IndexByte(s, '/')
	if slash < 0 {
		return false
	}
	host, path := s[:slash], s[slash:]
	return strings.ToLower(host) != host || httpcache.HostOnly(host) != host || strings.HasPrefix(host, "[") || hasDotSegment(path) ||
		cleanPath(path) != path || strings.Contains(strings.ToLower(path), "%2f")
}

// compareWithServeMux registers the patterns with both and matches one request.
func compareWithServeMux(t *testing.T, patterns []string, method, host, path string) {
	t.Helper()
	mux := http.NewServeMux()
	var routes []*Route
	for _, s := range patterns {
		if stricter(s) {
			continue
		}
		want := register(mux, s)
		p, err := ParsePattern(s)
		got := ""
		if err != nil {
			got = "parse"
		} else if _, err := NewTable(append(routes[:len(routes):len(routes)], &Route{Name: s, Patterns: []Pattern{p}})); err != nil {
			got = "conflict"
		}
		if got != want {
			t.Fatalf("%q after %q: we say %q, ServeMux %q", s, patterns, got, want)
		}
		if got == "" {
			routes = append(routes, &Route{Name: s, Patterns: []Pattern{p}})
		}
	}
	u, err := url.ParseRequestURI(path)
	if err != nil || u.EscapedPath() != path || !isCleanPath(path) || u.Host != "" || method == http.MethodConnect {
		return
	}
	r := &http.Request{Method: method, URL: u, Host: host, RequestURI: path}
	h, _ := mux.Handler(r)
	m, reason := mustTable(t, routes...).Match(method, httpcache.Target{Host: host, Path: path}, nil, netip.Addr{})
	_, found := h.(muxHandler)
	if !found && m.Route != nil {
		// ServeMux would rather redirect to the path with a slash than take a more general pattern.
		if n, _ := mustTable(t, routes...).Match(method, httpcache.Target{Host: host, Path: path + "/"}, nil, netip.Addr{}); n.Route == nil {
			t.Fatalf("%s %s%s: we match %s, ServeMux nothing (patterns %q)", method, host, path, m.Route.Name, patterns)
		}
		return
	}
	want := ""
	if found {
		mux.ServeHTTP(nil, r)
		want = r.Pattern
		for _, name := range mustPattern(t, want).Wildcards() {
			want += " " + name + "=" + r.PathValue(name)
		}
	}
	if got := describe(m, reason); m.Route != nil && got != want || m.Route == nil && want != "" {
		t.Fatalf("%s %s%s: we match %q, ServeMux %q (patterns %q)", method, host, path, got, want, patterns)
	}
}

func randomPath(r *rand.Rand) string {
	var b strings.Builder
	for i := range 1 + r.IntN(4) {
		b.WriteString([]string{"/a", "/b", "/%61", fmt.Sprintf("/{x%d}", i), "/a", "/{y" + fmt.Sprint(i) + "}"}[r.IntN(6)])
	}
	b.WriteString([]string{"", "", "/", "/{$}", "/{rest...}"}[r.IntN(5)])
	return b.String()
}

func TestTableLikeServeMux(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	methods := []string{"", "GET ", "HEAD ", "POST "}
	hosts := []string{"", "", "h.example"}
	for range 5000 {
		patterns := make([]string, 1+r.IntN(8))
		for i := range patterns {
			patterns[i] = methods[r.IntN(4)] + hosts[r.IntN(3)] + randomPath(r)
		}
		var path strings.Builder
		for range 1 + r.IntN(4) {
			path.WriteString([]string{"/a", "/b", "/%61", "/c%2Fd", "/a"}[r.IntN(5)])
		}
		path.WriteString([]string{"", "/"}[r.IntN(2)])
		compareWithServeMux(t, patterns, []string{"GET", "HEAD", "POST", "PUT"}[r.IntN(4)],
			[]string{"h.example", "h.example:80", "other"}[r.IntN(3)], path.String())
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("GET /a/{x}\n/a/b\nh.example/", "GET", "h.example", "/a/b")
	f.Add("/{x...}\n/{$}\nPOST /a/", "HEAD", "", "/")
	f.Add("/a%20b/{x}/\n/{y}/c/{z}", "POST", "h:1", "/a%20b/c/d")
	f.Add("{\n/{\n/}\n/a{$}\nGET", "GET", "", "/%2F")
	f.Fuzz(func(t *testing.T, patterns, method, host, path string) {
		compareWithServeMux(t, strings.SplitN(patterns, "\n", 10), method, host, path)
	})
}
