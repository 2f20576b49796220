package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"cacheproxy/test/servers"
)

func TestWaits(t *testing.T) {
	const text = `# TYPE cacheproxy_origin_queue_seconds histogram
cacheproxy_origin_queue_seconds_bucket{upstream="origin",le="0.001"} 10
cacheproxy_origin_queue_seconds_bucket{upstream="origin",le="0.5"} 30
cacheproxy_origin_queue_seconds_bucket{upstream="origin",le="+Inf"} 40
cacheproxy_origin_queue_seconds_sum{upstream="origin"} 4
cacheproxy_origin_queue_seconds_count{upstream="origin"} 40
`
	said := text
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, said) }))
	defer admin.Close()
	proxy := &servers.Cacheproxy{Admin: admin.URL}
	h, err := queueWaits(t.Context(), proxy)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.String(); got != "≤1ms 25.0 %, ≤500ms 50.0 %, longer 25.0 %" {
		t.Error(got)
	}
	if got := h.since(h).String(); got != "nobody" {
		t.Error(got)
	}
	said = ""
	if _, err := queueWaits(t.Context(), proxy); err == nil {
		t.Error("no histogram, no error")
	}
}
