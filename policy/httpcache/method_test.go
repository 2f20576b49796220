package httpcache

import "testing"

func TestSafe(t *testing.T) {
	for method, safe := range map[string]bool{
		"GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PROPFIND": true, "REPORT": true, "SEARCH": true, "QUERY": true,
		"POST": false, "PUT": false, "PATCH": false, "DELETE": false, "CONNECT": false, "PROPPATCH": false, "MKCOL": false, "COPY": false,
		"MOVE": false, "LOCK": false, "UNLOCK": false, "ACL": false, "LINK": false, "PRI": false, "PURGE": false,
		"ANY": false, "get": false, "": false,
	} {
		if Safe(method) != safe {
			t.Errorf("Safe(%q) = %v", method, !safe)
		}
	}
}
