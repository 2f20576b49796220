package observe

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/policy"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestMetrics(t *testing.T) {
	m := NewMetrics("v1.2.3")
	r := m.Route("product")
	r.Observe(Answer{policy.Hit, 200, 1000, 30 * time.Microsecond})
	r.Observe(Answer{policy.Hit, 200, 24, 70 * time.Microsecond})
	r.Observe(Answer{policy.Hit, 304, 0, time.Microsecond})
	r.Observe(Answer{policy.Miss, 503, 0, 20 * time.Millisecond})
	r.Coalesced()
	r.NotStored(policy.OriginStatus)
	r.ChangedWithoutInvalidation()
	u := m.Upstream("shop")
	u.Request("product", policy.URIMiss)
	u.Answered(15 * time.Millisecond)
	u.Response(500)
	u.Response(503)
	u.Response(999)
	u.Received(7)
	u.Completed(time.Second)
	u.Waited(0)
	u.Waited(400 * time.Millisecond)
	u.Shed()
	m.Rejected(431)
	m.Purge("admin", "tag", 3*time.Millisecond)
	m.SetMode("product", policy.Observe, 0.25)
	busy := upstreamAtWork(3)
	busy.Streams, busy.Queued, busy.Retries = func() int { return 5 }, func() int { return 1 }, func() uint64 { return 7 }
	busy.Health = func(tell func(string, bool)) { tell("a:80", true); tell("b:80", false) }
	busy.Limits = func() (int, int, int) { return 64, 0, 1000 }
	m.SetUpstream("shop", busy)
	m.SetTier("memory", TierGauges{
		Bytes: func() int64 { return 4096 }, Entries: func() int64 { return 2 }, Evictions: func() uint64 { return 9 },
		Limit: func() int64 { return 8192 },
	})
	got := scrape(t, m)
	for _, line := range []string{
		`cacheproxy_requests_total{code="2xx",outcome="hit",route="product"} 2`,
		`cacheproxy_requests_total{code="3xx",outcome="hit",route="product"} 1`,
		`cacheproxy_requests_total{code="5xx",outcome="miss",route="product"} 1`,
		`cacheproxy_requests_total{code="2xx",outcome="miss",route="product"} 0`,
		`cacheproxy_requests_total{code="2xx",outcome="stale",route="product"} 0`,
		`cacheproxy_response_bytes_total{route="product"} 1024`,
		`cacheproxy_requests_rejected_total{code="400"} 0`,
		`cacheproxy_requests_rejected_total{code="431"} 1`,
		`cacheproxy_origin_responses_total{code="5xx",upstream="shop"} 2`,
		`cacheproxy_origin_responses_total{code="2xx",upstream="shop"} 0`,
		`cacheproxy_origin_responses_total{code="other",upstream="shop"} 1`,
		`cacheproxy_origin_response_bytes_total{upstream="shop"} 7`,
		`cacheproxy_origin_complete_seconds_count{upstream="shop"} 1`,
		`cacheproxy_origin_in_flight_limit{upstream="shop"} 64`,
		`cacheproxy_origin_streams_limit{upstream="shop"} 1000`,
		`cacheproxy_store_limit_bytes{tier="memory"} 8192`,
		`cacheproxy_request_seconds_bucket{outcome="hit",route="product",le="5e-05"} 2`,
		`cacheproxy_request_seconds_bucket{outcome="hit",route="product",le="0.0001"} 3`,
		`cacheproxy_request_seconds_count{outcome="miss",route="product"} 1`,
		`cacheproxy_coalesced_total{route="product"} 1`,
		`cacheproxy_not_stored_total{reason="origin-status",route="product"} 1`,
		`cacheproxy_changed_without_invalidation_total{route="product"} 1`,
		`cacheproxy_origin_requests_total{reason="uri-miss",route="product",upstream="shop"} 1`,
		`cacheproxy_origin_seconds_bucket{upstream="shop",le="0.025"} 1`,
		`cacheproxy_shed_total{upstream="shop"} 1`,
		`cacheproxy_origin_in_flight{upstream="shop"} 3`,
		`cacheproxy_origin_streams{upstream="shop"} 5`,
		`cacheproxy_origin_queued{upstream="shop"} 1`,
		`cacheproxy_origin_queue_seconds_bucket{upstream="shop",le="0.001"} 1`,
		`cacheproxy_origin_queue_seconds_bucket{upstream="shop",le="0.5"} 2`,
		`cacheproxy_retries_total{upstream="shop"} 7`,
		`cacheproxy_upstream_healthy{address="a:80",upstream="shop"} 1`,
		`cacheproxy_upstream_healthy{address="b:80",upstream="shop"} 0`,
		`cacheproxy_store_bytes{tier="memory"} 4096`,
		`cacheproxy_store_entries{tier="memory"} 2`,
		`cacheproxy_evictions_total{tier="memory"} 9`,
		`cacheproxy_purges_total{kind="tag",source="admin"} 1`,
		`cacheproxy_purge_seconds_count 1`,
		`cacheproxy_mode{route="product"} 1`,
		`version="v1.2.3"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(got, line) {
			t.Errorf("lacks %s", line)
		}
	}
	if strings.Contains(got, "cacheproxy_origin_queued_limit") {
		t.Error("a limit is shown where there is none")
	}
	if strings.Contains(got, `cacheproxy_request_seconds_count{outcome="stale"`) {
		t.Error("a histogram was made for an outcome that was not seen")
	}
	if problems, err := promlint.New(strings.NewReader(got)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// upstreamAtWork is an upstream that works on n requests.
func upstreamAtWork(n int) UpstreamGauges {
	none := func() int { return 0 }
	total := func() uint64 { return 0 }
	return UpstreamGauges{
		InFlight: func() int { return n }, Peak: none, Streams: none, Queued: none, WouldShed: total, Retries: total,
		Unprotected: func() bool { return false }, Health: func(func(string, bool)) {}, Limits: func() (int, int, int) { return 0, 0, 0 },
	}
}

func TestGaugesFollowTheConfiguration(t *testing.T) {
	m := NewMetrics("v1")
	m.SetUpstream("shop", upstreamAtWork(1))
	m.SetUpstream("shop", upstreamAtWork(2))
	if got := scrape(t, m); !strings.Contains(got, `cacheproxy_origin_in_flight{upstream="shop"} 2`) {
		t.Error("the later gauges do not replace the earlier")
	}
	m.RemoveUpstream("shop")
	if got := scrape(t, m); strings.Contains(got, "cacheproxy_origin_in_flight{") {
		t.Error("a removed upstream is still there")
	}
}

// What the configuration no longer has leaves no series behind, and none comes back from requests that still run.
func TestRemoved(t *testing.T) {
	m := NewMetrics("v1")
	r, u := m.Route("old"), m.Upstream("oldshop")
	m.Route("kept").Observe(Answer{Outcome: policy.Hit, Status: 200})
	m.SetUpstream("oldshop", upstreamAtWork(1))
	use := func() {
		for _, o := range policy.Outcomes() {
			r.Observe(Answer{Outcome: o, Status: 418, Bytes: 1})
		}
		r.Coalesced()
		r.NotStored(policy.OriginStatus)
		r.ChangedWithoutInvalidation()
		r.Observed(time.Second, true)
		m.SetMode("old", policy.Off, 1)
		u.Request("old", policy.URIMiss)
		u.Answered(time.Second)
		u.Shed()
	}
	use()
	m.RemoveRoute("old")
	m.RemoveUpstream("oldshop")
	use()
	m.Upstream("shop").Request("old", policy.URIMiss) // of the route, at an upstream that stays
	got := scrape(t, m)
	for line := range strings.Lines(got) {
		if strings.Contains(line, `"old`) {
			t.Errorf("still there: %s", line)
		}
	}
	if !strings.Contains(got, `cacheproxy_requests_total{code="2xx",outcome="hit",route="kept"} 1`) {
		t.Error("another route lost its series")
	}
	if m.Route("old") == r {
		t.Error("a route that comes back counts where nobody looks")
	}
}

func TestSameHandles(t *testing.T) {
	m := NewMetrics("v1")
	if first, again := m.Route("a"), m.Route("a"); first != again || first == m.Route("b") {
		t.Error("routes are not told apart by name")
	}
	if first, again := m.Upstream("a"), m.Upstream("a"); first != again || first == m.Upstream("b") {
		t.Error("upstreams are not told apart by name")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				m.Route("a").Observe(Answer{Outcome: policy.Hit, Status: 200})
			}
		})
	}
	wg.Wait()
	if got := scrape(t, m); !strings.Contains(got, `cacheproxy_request_seconds_count{outcome="hit",route="a"} 800`) {
		t.Error("observations were lost")
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	r := NewMetrics("v1").Route("product")
	for _, o := range policy.Outcomes() {
		r.Observe(Answer{Outcome: o, Status: 418, Bytes: 1})
		if n := testing.AllocsPerRun(100, func() { r.Observe(Answer{o, 418, 1, 73 * time.Microsecond}) }); n != 0 {
			t.Errorf("%s: %v allocations", o, n)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	r := NewMetrics("v1").Route("product")
	b.ReportAllocs()
	for b.Loop() {
		r.Observe(Answer{policy.Hit, 200, 512, 73 * time.Microsecond})
	}
}

func BenchmarkObserveParallel(b *testing.B) {
	r := NewMetrics("v1").Route("product")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Observe(Answer{policy.Hit, 200, 512, 73 * time.Microsecond})
		}
	})
}

// scrape is what Prometheus gets.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(m.Gatherer(), promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	return w.Body.String()
}
