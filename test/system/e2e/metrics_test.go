package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// contract are the metrics that dashboards and alerts are built on.
var contract = []string{
	"cacheproxy_requests_total{", "cacheproxy_request_seconds_bucket{", "cacheproxy_origin_requests_total{", "cacheproxy_origin_seconds_bucket{",
	"cacheproxy_origin_in_flight{upstream=", "cacheproxy_origin_streams{upstream=", "cacheproxy_origin_queued{upstream=", "cacheproxy_shed_total{upstream=",
	"cacheproxy_origin_queue_seconds_bucket{", "cacheproxy_upstream_healthy{address=", "cacheproxy_retries_total{upstream=",
	"cacheproxy_coalesced_total{route=", "cacheproxy_not_stored_total{", "cacheproxy_store_bytes{tier=", "cacheproxy_store_entries{tier=",
	"cacheproxy_evictions_total{tier=", "cacheproxy_purges_total{", "cacheproxy_purge_seconds_bucket{",
	"cacheproxy_changed_without_invalidation_total{route=", "cacheproxy_config_reload_success", "cacheproxy_mode{route=", "cacheproxy_mode_share{route=",
	"cacheproxy_admin_auth_failures_total{reason=", "cacheproxy_origin_responses_total{", "cacheproxy_origin_complete_seconds_bucket{",
	"cacheproxy_response_bytes_total{route=", "cacheproxy_origin_response_bytes_total{upstream=", "cacheproxy_requests_rejected_total{code=",
	"cacheproxy_origin_in_flight_limit{upstream=", "cacheproxy_origin_queued_limit{upstream=", "cacheproxy_origin_streams_limit{upstream=",
	"cacheproxy_store_limit_bytes{tier=", "cacheproxy_connections_limit",
	"cacheproxy_build_info{", "go_goroutines", "process_resident_memory_bytes",
}

// smallRoute stores nothing of what this test's origin says.
const smallRoute = "  - {name: small, match: GET /small/, policy: cache-aside, ttl: 1m, store_if: {min_bytes: 100}}\n"

// All metrics are there after some traffic, count it, and tell no key, URL, host, query or header of it; no more do the
// other calls that need no token.
func TestMetrics(t *testing.T) {
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/products/secretid2" {
			w.Header().Set("Set-Cookie", "secretcookie=1")
		}
		w.Header().Set("Surrogate-Key", "secrettag")
		w.(http.Flusher).Flush() // the length is not declared, so that it decides at the end whether to store
		fmt.Fprint(w, "secretbody")
	})
	p := serveConfig(t, fmt.Sprintf(shopConfig, url)+smallRoute)
	for range 3 {
		get(t, p.data+"/products/secretid1?page=secretquery", "User-Agent: secretheader")
		get(t, p.data+"/products/secretid2", "Host: secrethost.example")
		get(t, p.data+"/secretpath", "Authorization: Bearer secrettoken")
	}
	get(t, p.data+"/small/secretid")
	call(t, "SECRETMETHOD", p.data+"/other/secretid", "")
	call(t, http.MethodPut, p.data+"/products/secretid1", "x")
	for _, purge := range []string{`{"keys":["secretkey"]}`, `{"tags":["secrettag"]}`, `{"urls":["/secretpath"]}`} {
		wantReceipt(t, call(t, http.MethodPost, p.admin+"/purge", purge))
	}
	all := get(t, p.admin+"/metrics")
	for _, name := range contract {
		if !strings.Contains("\n"+all.body, "\n"+name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if a := get(t, p.admin+path); a.status != http.StatusOK || strings.Contains(strings.ToLower(a.body), "secret") {
			t.Errorf("%s: %d, and shows what it must not:\n%s", path, a.status, a.body)
		}
	}
	for _, c := range []struct{ name, want string }{
		{`cacheproxy_requests_total{code="2xx",outcome="hit",route="product"}`, "2"},
		{`cacheproxy_requests_total{code="2xx",outcome="miss",route="product"}`, "4"},
		{`cacheproxy_requests_total{code="2xx",outcome="pass",route="rest"}`, "3"},
		{`cacheproxy_not_stored_total{reason="set-cookie",route="product"}`, "3"},
		{`cacheproxy_not_stored_total{reason="too-small",route="small"}`, "1"},
		{`cacheproxy_purges_total{kind="key",source="admin"}`, "1"},
		{`cacheproxy_purges_total{kind="tag",source="admin"}`, "1"},
		{`cacheproxy_purges_total{kind="url",source="admin"}`, "1"},
		{`cacheproxy_origin_in_flight{upstream="shop"}`, "0"},
		{`cacheproxy_mode{route="product"}`, "0"},
	} {
		wantMetric(t, p, c.name, c.want)
	}
}
