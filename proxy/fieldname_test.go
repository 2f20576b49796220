package proxy

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"cacheproxy/policy"
)

// What a sloppy origin says with space before the colon counts as if it were not there, and reaches the client (RFC 9112
// §5.1): it must not make an answer more widely shared.
func TestSpaceAfterFieldNames(t *testing.T) {
	for _, c := range []struct{ lines, name, cache string }{
		{"Cache-Control : private", "Cache-Control", "detail=private"},
		{"Cache-Control: max-age=60\r\nCache-Control : no-store", "Cache-Control", "detail=no-store"},
		{"Cache-Control: max-age=60\r\nSet-Cookie : a=1", "Set-Cookie", "detail=set-cookie"},
		{"Cache-Control: max-age=60\r\nvary  : *", "Vary", "detail=vary-star"},
	} {
		var n atomic.Int64
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 1\r\nConnection: close\r\n\r\n%d", c.lines, n.Add(1))
			conn.Close()
		}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll }, "/"))
		for i, method := range []string{"GET", "GET", "POST"} {
			a, err := r.try(method, "/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			cache := c.cache
			if method == "POST" {
				cache = "fwd=method"
			}
			a.want(t, fmt.Sprintf("%s, %d", c.lines, i+1), 200, fmt.Sprint(i+1), cache)
			if a.header[c.name] == nil {
				t.Errorf("%s: the client did not get %s: %v", c.lines, c.name, a.header)
			}
		}
	}
}
