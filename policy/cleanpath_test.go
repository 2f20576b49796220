package policy

import (
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestCleanTarget(t *testing.T) {
	for in, want := range map[string]string{
		"/products/17":         "/products/17",
		"//products///17":      "/products/17",
		"/a/../products/17/":   "/products/17/",
		"/a/%2e%2E%2fproducts": "/products",
		`/a\..\products\17`:    "/products/17",
		"/a/..;x=1/products":   "/products",
		"/../../products":      "/products",
		"products":             "/products",
		"/products/./17%zz":    "/products/17%25zz",
		"/products%2F17":       "/products/17",
		"/products%2f%2f17":    "/products/17",
		"/products%5C17":       "/products/17",
		"/products%2F":         "/products/",
		"/products/a%20b":      "/products/a%20b",
		"/products%252F17":     "/products%252F17",
	} {
		got := CleanTarget(httpcache.Target{Path: in}).Path
		if got != want || !isCleanPath(got) {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}
