package httpcache

import (
	"net/http"
	"slices"
	"strings"
)

// Safe reports whether the method is one of those known to change nothing (RFC 9110 §9.2.1). QUERY is safe and carries
// its question in the body, which is not part of the storage key.
func Safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}

// methodOverrides are fields by which some frameworks take a request for one with another method, in lower case.
var methodOverrides = [...]string{"x-http-method", "x-http-method-override", "x-http-methodoverride", "x-method-override"}

// NamesMethod reports whether a field is one of those, in any spelling: what hands requests on by CGI's rules makes the same
// variable of "-" and "_".
func NamesMethod(name string) bool {
	if len(name) < len("x-http-method") || len(name) > len("x-http-method-override") || name[0]|0x20 != 'x' {
		return false
	}
	return slices.ContainsFunc(methodOverrides[:], func(override string) bool {
		return len(name) == len(override) && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), override)
	})
}

// OverridesMethod reports whether the request may be taken for an unsafe one. In doubt it is a write.
func OverridesMethod(h http.Header) bool {
	for name, lines := range h {
		if NamesUnsafe(name, lines) {
			return true
		}
	}
	return false
}

// NamesUnsafe reports whether a field may make its request an unsafe one.
func NamesUnsafe(name string, lines []string) bool {
	return NamesMethod(name) && slices.ContainsFunc(lines, func(method string) bool { return !Safe(strings.ToUpper(TrimOWS(method))) })
}
