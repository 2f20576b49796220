package proxy

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// What the answer to a write names is gone when the client has it, and where it names nothing that can be read, what stands in its place.
// The client gets what the origin has sent.
func TestNamesInTheAnswer(t *testing.T) {
	gzipped := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		fmt.Fprint(w, text)
		w.Close()
		return b.String()
	}
	const seven = `{"product_id":7}`
	header := func(pairs ...string) http.Header {
		h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	large := `{"product_id":7,"filler":"` + strings.Repeat("x", maxInspected) + `"}`
	tests := []struct {
		name   string
		header http.Header
		status int
		parts  []string      // of the body, with a pause between them
		pause  time.Duration // of the origin between parts
		gone   string        // which of 7 and 8 are fetched anew
	}{
		{"named", header(), 201, []string{seven}, 0, "7"},
		{"in pieces", header(), 200, []string{seven[:5], seven[5:]}, time.Second, "7"},
		{"several", header(), 201, []string{`{"product_id":[7,8]}`}, 0, "78"},
		{"gzip", header("Content-Encoding", "gzip"), 201, []string{gzipped(seven)}, 0, "7"},
		{"JSON of a kind", header("Content-Type", "application/hal+json"), 201, []string{seven}, 0, "7"},
		{"not there", header(), 201, []string{`{"id":7}`}, 0, "78"},
		{"no content", header(), 204, nil, 0, "78"},
		{"text", header("Content-Type", "text/plain"), 201, []string{seven}, 0, "78"},
		{"another coding", header("Content-Encoding", "br"), 201, []string{seven}, 0, "78"},
		{"no gzip", header("Content-Encoding", "gzip"), 201, []string{seven}, 0, "78"},
		{"too much when it is unpacked", header("Content-Encoding", "gzip"), 201, []string{gzipped(large)}, 0, "78"},
		{"too large", header(), 201, []string{large}, 0, "78"},
		{"too large, of unknown length", header(), 201, []string{large[:10], large[10:]}, time.Second, "78"},
		{"late", header(), 201, []string{seven[:5], seven[5:]}, 2 * answerTime, "78"},
		{"broken off", header("Content-Length", "100"), 201, []string{seven}, 0, "78"},
		{"a redirect", header("Location", "/elsewhere"), 303, []string{seven}, 0, "78"},
		{"refused", header(), 409, []string{seven}, 0, ""},
		{"failed", header(), 500, []string{seven}, 0, "78"},
	}
	for _, test := range tests {
		for _, fences := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, fence %v", test.name, fences), func(t *testing.T) {
				var fetched atomic.Int64
				backend := func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "GET" {
						fmt.Fprint(w, fetched.Add(1))
						return
					}
					for name, values := range test.header {
						w.Header()[name] = values
					}
					w.WriteHeader(test.status)
					for i, part := range test.parts {
						if i > 0 {
							w.(http.Flusher).Flush()
							<-time.After(test.pause)
						}
						fmt.Fprint(w, part)
					}
				}
				write := routeFor(t, "orders", func(r *policy.Route) {
					r.FencesWrites = fences
					r.Invalidates = &policy.Invalidates{
						Keys: []policy.Template{template(t, "product:{response.product_id}")}, Otherwise: &policy.Invalidates{Routes: []string{"product"}},
					}
				}, "POST /orders")
				read := routeFor(t, "product", func(r *policy.Route) { r.Key, r.TTL = template(t, "product:{id}"), time.Hour }, "GET /products/{id}")
				inBubble(t, backend, rigOptions{origin: upstream.Options{Timeout: time.Minute}, routes: []*policy.Route{read}}, write, func(b *bubble) {
					b.do("GET", "/products/7")
					b.do("GET", "/products/8")
					got := b.do("POST", "/orders")
					if want := strings.Join(test.parts, ""); got.status != test.status || got.body != want {
						t.Errorf("status %d with %d bytes, want %d with %d", got.status, len(got.body), test.status, len(want))
					}
					if told := strings.Contains(got.header.Get("Cache-Status"), "otherwise"); told != (test.gone == "78" && test.name != "several") {
						t.Errorf("Cache-Status: %s", got.header.Get("Cache-Status"))
					}
					gone := ""
					for _, id := range []string{"7", "8"} {
						if before := fetched.Load(); b.do("GET", "/products/"+id).status == 200 && fetched.Load() > before {
							gone += id
						}
					}
					if gone != test.gone {
						t.Errorf("fetched anew: %q, want %q", gone, test.gone)
					}
				})
			})
		}
	}
}

// That what stands in for names goes away is told where it does: not of a write that the origin refuses, or says that it has failed to do where
// that is believed.
func TestOtherwiseIsToldWhereItCounts(t *testing.T) {
	for _, test := range []struct {
		status int
		keep   policy.FailedWrite
		body   string
		want   string // in place of the product's number what the next read has, and what is told
	}{
		{201, policy.FailedInvalidate, `{"id":7}`, "1 cacheproxy; fwd=method; fwd-status=201"},
		{201, policy.FailedInvalidate, `{}`, "2 cacheproxy; fwd=method; fwd-status=201; detail=otherwise"},
		{409, policy.FailedInvalidate, `{}`, "1 cacheproxy; fwd=method; fwd-status=409"},
		{500, policy.FailedInvalidate, `{}`, "2 cacheproxy; fwd=method; fwd-status=500; detail=otherwise"},
		{500, policy.FailedKeep, `{}`, "1 cacheproxy; fwd=method; fwd-status=500"},
	} {
		var fetched atomic.Int64
		backend := func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				fmt.Fprint(w, fetched.Add(1))
				return
			}
			w.WriteHeader(test.status)
		}
		write := routeFor(t, "orders", func(r *policy.Route) {
			r.FailedWrite = test.keep
			r.Invalidates = &policy.Invalidates{
				Keys: []policy.Template{template(t, "order:{body.id}")}, Otherwise: &policy.Invalidates{Routes: []string{"product"}},
			}
		}, "POST /orders")
		read := routeFor(t, "product", func(r *policy.Route) { r.TTL = time.Hour }, "GET /products/{id}")
		inBubble(t, backend, rigOptions{routes: []*policy.Route{read}}, write, func(b *bubble) {
			b.do("GET", "/products/7")
			told := b.serve(b.t.Context(), "POST", "/orders", strings.NewReader(test.body)).header.Get("Cache-Status")
			if got := b.do("GET", "/products/7").body + " " + told; got != test.want {
				t.Errorf("%d of %s: got %s, want %s", test.status, test.body, got, test.want)
			}
		})
	}
}
