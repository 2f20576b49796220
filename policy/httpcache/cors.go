package httpcache

import (
	"net/http"
	"slices"
)

// AnyOrigin reports whether an answer declares itself the same for every Origin: each origin may read the answer, none
// with credentials, and Vary does not name Origin (WHATWG Fetch §3.3.3).
func AnyOrigin(response http.Header) bool {
	allowed := response["Access-Control-Allow-Origin"]
	names, star := ParseVary(response["Vary"])
	return len(allowed) == 1 && TrimOWS(allowed[0]) == "*" && len(response["Access-Control-Allow-Credentials"]) == 0 &&
		!star && !slices.Contains(names, "Origin")
}
