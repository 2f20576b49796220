package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// An API that answers everything with an error is seen: in the metrics that the alert goes by, in what clients got, and in a few lines of the
// log, which lead to the address that did it. So are requests that never became one of a route.
func TestFailingAPIIsSeen(t *testing.T) {
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "0123456789")
	})
	p := serveConfig(t, strings.Replace(fmt.Sprintf(shopConfig, url), "log: {hits", "log: {fields: otel, hits", 1))
	for i := range 12 {
		get(t, fmt.Sprint(p.data, "/products/", i), "X-Api-Key: a")
	}
	wantMetric(t, p, `cacheproxy_origin_responses_total{code="5xx",upstream="shop"}`, "12")
	wantMetric(t, p, `cacheproxy_origin_responses_total{code="2xx",upstream="shop"}`, "0")
	wantMetric(t, p, `cacheproxy_requests_total{code="5xx",outcome="pass",route="product"}`, "12")
	wantMetric(t, p, `cacheproxy_response_bytes_total{route="product"}`, "120")
	wantMetric(t, p, `cacheproxy_origin_response_bytes_total{upstream="shop"}`, "120")
	wantMetric(t, p, `cacheproxy_origin_complete_seconds_count{upstream="shop"}`, "12")
	wantMetric(t, p, `cacheproxy_origin_in_flight_limit{upstream="shop"}`, "64")
	wantMetric(t, p, `cacheproxy_bypassed_total{kind="header",name="X-Api-Key",route="product"}`, "3")
	address := strings.TrimPrefix(url, "http://")
	p.says(t, "upstream answers with an error", `"cacheproxy.upstream_address":"`+address+`"`, `"http.response.status_code":500`, `"cacheproxy.route":"product"`, `"url.path":"/products/`)
	p.says(t, `"msg":"request"`, `"cacheproxy.upstream_address":"`+address+`"`, `"cacheproxy.route":"product"`)
	if n := strings.Count(p.output(), "upstream answers with an error"); n != 5 {
		t.Errorf("%d lines about errors of the API, want five a minute", n)
	}

	sendRaw(t, p.data, "nonsense\r\n\r\n")
	wantMetric(t, p, `cacheproxy_requests_rejected_total{code="400"}`, "1")
	p.says(t, `"http.response.status_code":400`, `"client.address":"127.0.0.1"`, `"cacheproxy.outcome":"error"`)
}

// Why the process ends is said in the form of the log.
func TestEndIsALineOfTheLog(t *testing.T) {
	p := serveConfig(t, fmt.Sprintf(shopConfig, newServer(t, func(http.ResponseWriter, *http.Request) {})))
	taken := strings.TrimPrefix(p.data, "http://")
	for format, want := range map[string]string{"json": `"msg":"ended","error":`, "text": `level=ERROR msg=ended error=`, "off": "listen tcp"} {
		file := writeFile(t, "taken.yaml", fmt.Sprintf("listen: %s\nadmin: {listen: 127.0.0.1:0}\nlog: {format: %s}\nupstreams: [{name: a, url: %s}]\n", taken, format, p.data))
		r := run(t, nil, "serve", "--config", file)
		lines := strings.Split(strings.TrimSpace(r.err), "\n")
		last := lines[len(lines)-1]
		if r.status != 1 || !strings.Contains(last, want) || !strings.Contains(last, "address already in use") {
			t.Errorf("%s: exit status %d: %s", format, r.status, r.err)
		}
		for _, line := range lines {
			if format == "json" && !strings.HasPrefix(line, "{") {
				t.Errorf("a line of another form: %s", line)
			}
		}
	}
}
