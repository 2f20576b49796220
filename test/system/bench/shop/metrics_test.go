package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"cacheproxy/test/servers"
)

const exposition = `# TYPE cacheproxy_requests_total counter
cacheproxy_requests_total{route="product",outcome="hit"} 90
cacheproxy_requests_total{outcome="miss",route="product"} 10
cacheproxy_requests_total{route="list",outcome="hit"} 5
`

func TestOutcomesOfOneRoute(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, exposition) }))
	defer admin.Close()
	proxy := &servers.Cacheproxy{Admin: admin.URL}
	got, err := scrape(t.Context(), proxy, "product")
	if err != nil {
		t.Fatal(err)
	}
	if want := (outcomes{"hit": 90, "miss": 10}); !maps.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	grown := got.since(outcomes{"hit": 60, "miss": 10})
	if r := grown.ratio("hit"); len(grown) != 1 || r != 1 {
		t.Errorf("since: %v, hit ratio %v, want 30 hits and a ratio of 1", grown, r)
	}
	if r := got.ratio("hit"); r != 0.9 {
		t.Errorf("hit ratio %v, want 0.9", r)
	}
	if _, err := scrape(t.Context(), proxy, "stock"); err == nil {
		t.Error("metrics without the route gave no error")
	}
}
