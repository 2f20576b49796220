package httpcache

import (
	"net/http"
	"slices"
	"strings"
)

// Safe reports whether a method is registered as one that changes nothing (RFC 9110 §9.2.1, IANA HTTP Method Registry).
// An unknown method is unsafe: a write that is taken for a read would leave a wrong copy. PRI, which the registry has
// as well, is no request but the beginning of a connection (RFC 9113 §3.4). Methods are compared with case (RFC 9110
// §9.1).
func Safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	case "PROPFIND", "REPORT", "SEARCH", "QUERY": // RFC 4918 §9.1, RFC 3253 §3.6, RFC 5323 §2, RFC 10008
		return true
	}
	return false
}

// methodOverrides are fields from which some frameworks take the method of a request, in lower case. No RFC has them.
var methodOverrides = [...]string{"x-http-method", "x-http-method-override", "x-http-methodoverride", "x-method-override"}

// NamesMethod reports whether a field overrides the method, in any spelling: servers that hand requests on by the rules
// of CGI (RFC 3875 §4.1.18) make the same variable of "-" and "_".
func NamesMethod(name string) bool {
	if len(name) < len("x-http-method") || len(name) > len("x-http-method-override") || name[0]|0x20 != 'x' {
		return false
	}
	return slices.ContainsFunc(methodOverrides[:], func(override string) bool {
		return len(name) == len(override) && strings.EqualFold(dashed(name), override)
	})
}

// NamesUnsafe reports whether a field may override the method of its request with an unsafe one.
func NamesUnsafe(name string, lines []string) bool {
	return NamesMethod(name) && slices.ContainsFunc(lines, func(method string) bool { return !Safe(strings.ToUpper(TrimOWS(method))) })
}
