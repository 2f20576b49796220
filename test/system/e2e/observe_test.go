package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/servers"
	"cacheproxy/test/system/shop"
)

// observedConfig has two routes to the same lists: one whose key leaves out the order that they are sorted in.
const observedConfig = `
listen: 127.0.0.1:0
drain_delay: 0s
log: {hits: 0%%, others: 0%%}
memory: {size: 64MiB}
upstreams: [{name: shop, url: "%s"}]
routes:
  - {name: right, match: right.example/products, policy: cache-aside, mode: observe, query: {include: [page, sort]}, ttl: 10m}
  - {name: wrong, match: wrong.example/products, policy: cache-aside, mode: observe, query: {include: [page], unlisted: drop}, ttl: 10m}
  - {name: product, match: "GET /products/{id}", policy: cache-aside, mode: observe, ttl: 10m}
  - {name: edit, match: "PATCH /products/{id}", policy: bypass}
`

// A week of observation in a second: on a real shop, the metrics and the log show a key that is wrong, and nothing of one
// that is right.
func TestObservedShop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := shop.Open(ctx, servers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Create(ctx, 100); err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewServer(demo.New(db, demo.Options{}))
	t.Cleanup(origin.Close)
	p := serveConfig(t, fmt.Sprintf(observedConfig, origin.URL))
	for range 3 {
		for _, sort := range []string{"price", "-price"} {
			for _, host := range []string{"right.example", "wrong.example"} {
				a := get(t, p.data+"/products?page=1&sort="+sort, "Host: "+host)
				if a.status != 200 || !strings.Contains(a.body, `"sort":"`+sort+`"`) {
					t.Fatalf("%s by %s: %d %s: what is observed comes from the origin", host, sort, a.status, a.body)
				}
			}
		}
	}
	// Edits through the proxy are invalidated while a route is observed too.
	for price := range 3 {
		for range 2 {
			get(t, p.data+"/products/17")
		}
		call(t, "PATCH", p.data+"/products/17", fmt.Sprintf(`{"amount_cents":%d}`, 1000+price))
	}
	for _, c := range []struct {
		route             string
		hit, differ, miss string
	}{
		{"right", "4", "0", "2"}, {"wrong", "2", "3", "1"}, {"product", "3", "0", "3"},
	} {
		for outcome, want := range map[string]string{"would_hit": c.hit, "would_differ": c.differ, "would_miss": c.miss} {
			wantMetric(t, p, fmt.Sprintf(`cacheproxy_requests_total{code="2xx",outcome="%s",route="%s"}`, outcome, c.route), want)
		}
		saved := metric(t, p, fmt.Sprintf(`cacheproxy_observed_saved_seconds_total{route="%s"}`, c.route))
		if all := metric(t, p, fmt.Sprintf(`cacheproxy_observed_origin_seconds_total{route="%s"}`, c.route)); saved == "" || saved == "0" || all == "" || all == saved {
			t.Errorf("%s: saved %q seconds of the origin's %q", c.route, saved, all)
		}
	}
	var line struct {
		Route, Path string
		Parameters  []string `json:"parameters_not_in_key"`
	}
	said := p.line(t, "what differed", func(line string) bool { return strings.Contains(line, "would have differed") })
	if err := json.Unmarshal([]byte(said), &line); err != nil || line.Route != "wrong" || line.Path != "/products" || fmt.Sprint(line.Parameters) != "[sort]" {
		t.Errorf("%v in %s", err, said)
	}
	if strings.Contains(p.output(), `"route":"right"`) || strings.Contains(p.output(), "-price") {
		t.Errorf("the log says too much:\n%s", p.output())
	}
}
