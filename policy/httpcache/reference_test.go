package httpcache

import (
	"net/url"
	"strings"
	"testing"
)

// Nothing that an answer names reaches another origin (RFC 9111 §4.4): net/url, where it can read the reference, finds the
// same host and scheme. What was resolved stands for itself when it is resolved again.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{
		"/a", "b?c#d", "../..", "//shop.example/x", "//shop.example:80", "//other.example/", "http://shop.example", "https://shop.example/",
		"HTTP://SHOP.example/%2e%2e", "//shop.example@other.example/", `\\other.example/a`, "//[::1]/", "?", "", "http:/a", "//shop.example:/",
	} {
		f.Add(seed)
	}
	base := Target{Scheme: "http", Host: "shop.example", Path: "/a/b", Query: "q", HasQuery: true}
	from, _ := url.Parse("http://shop.example/a/b?q")
	f.Fuzz(func(t *testing.T, ref string) {
		got, ok := ResolveReference(base, ref)
		if !ok {
			return
		}
		if got.Scheme != base.Scheme || got.Host != base.Host || !strings.HasPrefix(got.Path, "/") {
			t.Fatalf("%q: %+v", ref, got)
		}
		if u, err := from.Parse(strings.Trim(ref, " \t")); err == nil && u.Opaque == "" {
			if !strings.EqualFold(u.Scheme, "http") || !strings.EqualFold(u.Hostname(), "shop.example") || u.Port() != "" && u.Port() != "80" {
				t.Fatalf("%q is of the same origin, but for net/url it is %s", ref, u)
			}
		}
		again := got.Path
		if got.HasQuery {
			again += "?" + got.Query
		}
		if strings.HasPrefix(again, "//") {
			return // as a reference that is an authority
		}
		if twice, ok := ResolveReference(base, again); !ok || twice.Path != got.Path || twice.Query != got.Query {
			if !strings.ContainsAny(again, "# \t") {
				t.Fatalf("%q is %+v, and that is %+v, %v", ref, got, twice, ok)
			}
		}
	})
}
