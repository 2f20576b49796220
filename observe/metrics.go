package observe

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const namespace = "cacheproxy"

// Buckets of the histograms, in seconds. A hit takes microseconds, an origin in trouble many seconds.
var (
	requestBuckets = []float64{
		10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 10,
	}
	originBuckets = []float64{500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 10, 30}
	queueBuckets  = []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, .75, 1, 2.5, 5}
	purgeBuckets  = []float64{50e-6, 250e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// Metrics are all metrics of one proxy, in a registry of their own. Their names and labels are a contract with users.
// All methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests       *prometheus.CounterVec
	bytes          *prometheus.CounterVec
	rejected       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	coalesced      *prometheus.CounterVec
	notStored      *prometheus.CounterVec
	missed         *prometheus.CounterVec
	unconfirmed    *prometheus.CounterVec
	mode           *prometheus.GaugeVec
	modeShare      *prometheus.GaugeVec
	reloadSuccess  prometheus.Gauge
	reloadedAt     prometheus.Gauge
	certificate    *prometheus.GaugeVec

	originRequests  *prometheus.CounterVec
	originResponses *prometheus.CounterVec
	originBytes     *prometheus.CounterVec
	originSeconds   *prometheus.HistogramVec
	originWhole     *prometheus.HistogramVec
	queueSeconds    *prometheus.HistogramVec
	shed            *prometheus.CounterVec

	observedSaved   *prometheus.CounterVec
	observedOrigin  *prometheus.CounterVec
	observedCookies *prometheus.CounterVec

	adminAuthFailures *prometheus.CounterVec

	turnsWaiting      *prometheus.GaugeVec
	turnsRefused      *prometheus.CounterVec
	purges            *prometheus.CounterVec
	purgeSeconds      prometheus.Histogram
	purgesUnconfirmed prometheus.Counter

	spansDropped prometheus.Counter

	held held

	labelled []labelled // all metrics with labels

	mu        lockorder.Mutex[lockorder.Metrics]
	routes    map[string]*RouteMetrics
	upstreams map[string]*UpstreamMetrics
}

// NewMetrics makes the metrics of a build. cacheproxy_build_info{version} shows the build.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counters("requests_total", "Requests answered, by how, and by the class of the status that the client got.", "route", "outcome", "code"),
		bytes:    counters("response_bytes_total", "Bytes of content sent to clients.", "route"),
		rejected: counters("requests_rejected_total",
			"Requests that were refused before they could be taken for one of a route, by status.", "code"),
		requestSeconds: histograms("request_seconds", "Time from a request's head to the end of its answer.", requestBuckets, "route", "outcome"),
		coalesced:      counters("coalesced_total", "Requests that shared another request's fetch from the origin.", "route"),
		notStored:      counters("not_stored_total", "Answers of an origin that were fetched to be copies and not stored, by why.", "route", "reason"),
		missed: counters("changed_without_invalidation_total",
			"Refills after expiry that differed although nothing was invalidated: an invalidation is missing.", "route"),
		unconfirmed: counters("writes_unconfirmed_total",
			"Writes answered although their invalidation could not be confirmed; it is made up for.", "route"),
		turnsWaiting:  gauges("serialized_writes_waiting", "Writes that wait for others of their key.", "route"),
		turnsRefused:  counters("serialized_writes_refused_total", "Writes that were not made, because those of their key before them were too many or not done in time, or nobody could know of them.", "route"),
		mode:          gauges("mode", "Mode in force of a route: 0 on, 1 observe, 2 off.", "route"),
		modeShare:     gauges("mode_share", "Share of a route's requests that its mode is for, 0 to 1; the others go as with off.", "route"),
		reloadSuccess: gauges("config_reload_success", "1 when the configuration was last read without a problem, else 0.").WithLabelValues(),
		reloadedAt: gauges("config_last_reload_success_timestamp_seconds",
			"When the configuration was last read without a problem.").WithLabelValues(),
		certificate:     gauges("certificate_expiry_timestamp_seconds", "When the certificate in use on a listener expires.", "listener"),
		originRequests:  counters("origin_requests_total", "Requests sent to an origin, by why no copy could answer.", "upstream", "route", "reason"),
		originResponses: counters("origin_responses_total", "Answers of an origin, by the class of their status.", "upstream", "code"),
		originBytes:     counters("origin_response_bytes_total", "Bytes of content that came from an origin.", "upstream"),
		originWhole: histograms("origin_complete_seconds",
			"Time from a request to an origin to the last byte of its answer, streams apart.", originBuckets, "upstream"),
		originSeconds: histograms("origin_seconds", "Time from a request to an origin to the head of its answer, or to its failure.", originBuckets, "upstream"),
		queueSeconds:  histograms("origin_queue_seconds", "Time that a request waited for a place at an origin, whether or not it got it.", queueBuckets, "upstream"),
		shed:          counters("shed_total", "Requests refused because the origin had no place for them, or the proxy no turn or no memory.", "upstream"),
		observedSaved: counters("observed_saved_seconds_total",
			"On observed routes, time of the origin that copies would have saved: to the head of answers that a copy would have given just so.", "route"),
		observedOrigin: counters("observed_origin_seconds_total",
			"On observed routes, time of the origin to the head of would_hit, would_differ and would_miss: what would have been saved is a share of it.", "route"),
		observedCookies: counters("observed_cookies_withheld_total",
			"On observed routes with strip_set_cookie, answers with cookies that the client would not have got.", "route"),
		adminAuthFailures: counters("admin_auth_failures_total", "Calls of the admin listener that were turned away for who made them, by why.", "reason"),
		purges:            counters("purges_total", "Purges, by where they came from and what they named.", "source", "kind"),
		purgeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "purge_seconds", Help: "Time from a purge to its confirmation.", Buckets: purgeBuckets,
		}),
		purgesUnconfirmed: counters("purges_unconfirmed_total",
			"Purges that asked to hold everywhere, and of which that could not be said in time.").WithLabelValues(),
		spansDropped: counters("spans_dropped_total", "Spans of traces lost because their endpoint was too slow or failed.").WithLabelValues(),
		held:         held{upstreams: map[string]UpstreamGauges{}, tiers: map[string]TierGauges{}},
		routes:       map[string]*RouteMetrics{},
		upstreams:    map[string]*UpstreamMetrics{},
	}
	build := gauges("build_info", "Always 1; the labels say which build runs.", "version", "goversion")
	build.WithLabelValues(version, runtime.Version()).Set(1)
	for _, status := range []int{http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge} {
		m.rejected.WithLabelValues(strconv.Itoa(status)) // from zero, so that the first is visible
	}
	m.register(
		m.requests, m.bytes, m.rejected, m.requestSeconds, m.coalesced, m.notStored, m.missed, m.unconfirmed, m.turnsWaiting, m.turnsRefused, m.mode, m.modeShare, m.reloadSuccess, m.reloadedAt, m.certificate,
		m.originRequests, m.originResponses, m.originBytes, m.originWhole, m.originSeconds, m.queueSeconds, m.shed, m.observedSaved, m.observedOrigin, m.observedCookies, m.adminAuthFailures,
		m.purges, m.purgeSeconds, m.purgesUnconfirmed, m.spansDropped, readings(m.held.collect), readings(m.collectNames), build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *Metrics) register(all ...prometheus.Collector) {
	m.registry.MustRegister(all...)
	for _, c := range all {
		if vec, ok := c.(labelled); ok {
			m.labelled = append(m.labelled, vec)
		}
	}
}

// Gatherer returns the metrics for a scrape.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Purge counts a purge that holds everywhere. source is admin, write or feed, and kind a kind of admin.Purge. took is
// the time to the last confirmation.
func (m *Metrics) Purge(source, kind string, took time.Duration) {
	m.purges.WithLabelValues(source, kind).Inc()
	m.purgeSeconds.Observe(took.Seconds())
}

// PurgeRecorded counts a purge whose caller did not wait for confirmation.
func (m *Metrics) PurgeRecorded(source, kind string) { m.purges.WithLabelValues(source, kind).Inc() }

// PurgeUnconfirmed counts a purge that should hold everywhere and was not confirmed in time.
func (m *Metrics) PurgeUnconfirmed() { m.purgesUnconfirmed.Inc() }

// AdminAuthFailures returns a counter of refused callers of the admin listener. All reasons begin at zero, so that the
// first refusal is visible.
func (m *Metrics) AdminAuthFailures(reasons []string) func(reason string) {
	for _, reason := range reasons {
		m.adminAuthFailures.WithLabelValues(reason)
	}
	return func(reason string) { m.adminAuthFailures.WithLabelValues(reason).Inc() }
}

// SetLogs registers the numbers of lost lines of the access log and of the log. Both funcs must be safe for concurrent
// use. SetLogs may be called once.
func (m *Metrics) SetLogs(access, log func() uint64) {
	m.registry.MustRegister(readings(func(tell reading) {
		tell(counter, "access_log_dropped_total", "Lines of the access log lost because their reader was too slow.", float64(access()))
		tell(counter, "log_dropped_total", "Lines of the log lost because their reader was too slow.", float64(log()))
	}))
}

// Rejected counts a request that was refused before it had a route.
func (m *Metrics) Rejected(status int) { m.rejected.WithLabelValues(strconv.Itoa(status)).Inc() }

// SpansDropped counts lost spans.
func (m *Metrics) SpansDropped(n int) { m.spansDropped.Add(float64(n)) }

// SetMode sets the mode in force of a route, and the share of the route's requests that the mode applies to.
func (m *Metrics) SetMode(route string, mode policy.Mode, share float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.routes[route] == nil {
		return // the route was removed
	}
	m.mode.WithLabelValues(route).Set(float64(mode))
	m.modeShare.WithLabelValues(route).Set(share)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// ConfigRead records whether the last reading of the configuration succeeded.
func (m *Metrics) ConfigRead(ok bool) {
	if !ok {
		m.reloadSuccess.Set(0)
		return
	}
	m.reloadSuccess.Set(1)
	m.reloadedAt.SetToCurrentTime()
}

// SetCertificate sets when the certificate in use on a listener, data or admin, expires.
func (m *Metrics) SetCertificate(listener string, expires time.Time) {
	m.certificate.WithLabelValues(listener).Set(float64(expires.Unix()))
}
