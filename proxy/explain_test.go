package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// TestExplain tells the state of a copy as a request would find it, without touching it.
func TestExplain(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
	}, rigOptions{}, routeFor(t, "personal", nil, "/me"), routeFor(t, "product", func(r *policy.Route) {
		r.Key = template(t, "v2:product:{id}")
		r.StripSetCookie = true
		r.StaleIfError = time.Hour
	}, "GET /products/{id}"))
	explain := func(url string) *Explanation {
		t.Helper()
		e, err := r.proxy.Explain("GET", url, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	url := r.front.URL + "/products/17"
	if e := explain(url); e.Decision != "miss" || e.Reason != "uri-miss" || e.Route != "product" || e.Name != "v2:product:17" || e.Copy != nil {
		t.Errorf("before: %+v", e)
	}
	r.do("GET", "/products/17")
	if e := explain(url); e.Decision != "hit" || e.Copy == nil || e.Copy.State != "fresh" || e.Copy.Ledger != "valid" || e.Copy.Hits != 0 {
		t.Errorf("stored: %+v", e)
	}
	if e := explain("/products/17"); e.Decision != "miss" || !strings.Contains(e.Note, "no host") {
		t.Errorf("without a host: %+v", e)
	}
	if _, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("v2:product:17")}}); err != nil {
		t.Fatal(err)
	}
	if e := explain(url); e.Decision != "miss" || e.Reason != "purged" || e.Copy == nil || e.Copy.Ledger != "purged" {
		t.Errorf("purged: %+v", e)
	}
	r.do("GET", "/me")
	if e := explain(r.front.URL + "/me"); e.NotStored != "set-cookie" {
		t.Errorf("not stored: %+v", e)
	}
	header := http.Header{"X-Api-Key": {"secret"}, "X-Tenant": {"a"}, "User-Agent": {"u"}, "X-Forwarded-User": {"not believed"}}
	e, err := r.proxy.Explain("GET", url, header)
	if err != nil || e.Decision != "pass" || e.Reason != "header-unlisted" || fmt.Sprint(e.Unlisted) != "[X-Api-Key X-Tenant]" {
		t.Errorf("an unlisted header: %+v, %v", e, err)
	}
	if e := explain(r.front.URL + "//x"); e.Reason != "unclean-path" || e.Decision != "pass" {
		t.Errorf("unclean: %+v", e)
	}
}
