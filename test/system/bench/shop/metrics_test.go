package main

import (
	"maps"
	"strings"
	"testing"
)

const exposition = `# TYPE cacheproxy_requests_total counter
cacheproxy_requests_total{route="product",outcome="hit"} 90
cacheproxy_requests_total{outcome="miss",route="product"} 10
cacheproxy_requests_total{route="list",outcome="hit"} 5
`

func TestOutcomesOfOneRoute(t *testing.T) {
	got, err := parseOutcomes(strings.NewReader(exposition), "product")
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
	if _, err := parseOutcomes(strings.NewReader("other 1\n"), "product"); err == nil {
		t.Error("metrics without the counter gave no error")
	}
}
