package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const addressesConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
drain_delay: 0s
upstreams:
  - {name: shop, url: ["%s", "%s"], host: upstream, health: {path: /healthz, interval: 100ms, timeout: 10s}}
routes: [{name: all, match: /, upstream: shop, policy: bypass}]
`

// One of two addresses goes away: nobody sees an error, and the metrics tell.
func TestAddressesOfOneUpstream(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }
	stays := newServer(t, answer)
	goes := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(goes.Close)
	// A POST on a kept connection that ends in the same moment may have been sent, and has to fail.
	goes.Config.SetKeepAlivesEnabled(false)
	p := serveConfig(t, fmt.Sprintf(addressesConfig, stays, goes.URL))
	healthy := func(url string) string {
		return metric(t, p, fmt.Sprintf(`cacheproxy_upstream_healthy{address="%s",upstream="shop"}`, strings.TrimPrefix(url, "http://")))
	}
	eventually(t, "both addresses are used, each as its own Host", func() bool {
		seen := map[string]bool{}
		for range 50 {
			seen["http://"+get(t, p.data+"/").body] = true
		}
		return seen[stays] && seen[goes.URL]
	})
	goes.Close()
	for i := range 100 {
		method := []string{http.MethodGet, http.MethodPost, http.MethodPut}[i%3]
		if a := call(t, method, p.data+"/", "body"); a.status != http.StatusOK {
			t.Errorf("%s with one address gone: %d %s", method, a.status, a.body)
		}
	}
	eventually(t, "the address is told to be unhealthy", func() bool { return healthy(goes.URL) == "0" })
	if got := healthy(stays); got != "1" {
		t.Errorf("the other address: %s", got)
	}
	if n := metric(t, p, `cacheproxy_retries_total{upstream="shop"}`); n == "" {
		t.Error("no retries are told")
	}
	p.line(t, "the change in the log", func(line string) bool { return strings.Contains(line, "address of upstream is unhealthy") })
}
