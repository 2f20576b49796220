package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP endpoint.
type receiver struct {
	url    string
	mu     sync.Mutex
	spans  []*otlp.Span
	header http.Header
	names  map[string]string // of the resource
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{names: map[string]string{}}
	r.url = newServer(t, func(w http.ResponseWriter, req *http.Request) {
		var message collector.ExportTraceServiceRequest
		zipped, err := gzip.NewReader(req.Body)
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(zipped); err == nil {
				err = proto.Unmarshal(body, &message)
			}
		}
		if err != nil || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("export to %s as %q: %v", req.URL.Path, req.Header.Get("Content-Type"), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.header = req.Header.Clone()
		for _, resource := range message.ResourceSpans {
			for _, a := range resource.Resource.Attributes {
				r.names[a.Key] = a.Value.GetStringValue()
			}
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
	})
	return r
}

// trace waits for n spans of a trace and gives them by name, each name once.
func (r *receiver) trace(t testing.TB, id string, n int) map[string]*otlp.Span {
	t.Helper()
	byName := map[string]*otlp.Span{}
	eventually(t, fmt.Sprintf("%d spans of trace %s", n, id), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		clear(byName)
		for _, s := range r.spans {
			if hex.EncodeToString(s.TraceId) == id {
				byName[s.Name] = s
			}
		}
		return len(byName) == n
	})
	return byName
}

// find waits for a span.
func (r *receiver) find(t testing.TB, what string, ok func(*otlp.Span) bool) (found *otlp.Span) {
	t.Helper()
	eventually(t, what, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if i := slices.IndexFunc(r.spans, ok); i >= 0 {
			found = r.spans[i]
		}
		return found != nil
	})
	return found
}

func attribute(s *otlp.Span, name string) string {
	for _, a := range s.Attributes {
		if a.Key == name {
			if v := a.Value.GetStringValue(); v != "" {
				return v
			}
			return fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return ""
}

func wantAttributes(t testing.TB, s *otlp.Span, pairs ...string) {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if got := attribute(s, pairs[i]); got != pairs[i+1] {
			t.Errorf("span %q: %s is %q, want %q", s.Name, pairs[i], got, pairs[i+1])
		}
	}
}

const tracedConfig = `
listen: 127.0.0.1:0
drain_delay: 0s
log: {hits: 100%%, others: 100%%}
tracing: {endpoint: "%s", sample: 100%%, service: shop-edge, headers: {X-Token: t1}}
upstreams: [{name: shop, url: "%s", timeout: 30s}]
routes:
  - {name: product, match: "GET /products/{id}", policy: cache-aside, key: "v2:product:{id}", ttl: 10m, stale_while_revalidate: 10m}
  - {name: rest, match: /, policy: bypass}
`

// parentOf makes a traceparent for a trace that ends in these digits.
func parentOf(digits, flags string) (trace, traceparent string) {
	trace = strings.Repeat("a", 32-len(digits)) + digits
	return trace, "Traceparent: 00-" + trace + "-b7ad6b7169203331-" + flags
}

// The spans of each way to an answer, as an OTLP receiver gets them, and what the origin is told of the trace.
func TestTracing(t *testing.T) {
	t.Parallel()
	var seen sync.Map // path to header
	origin := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.Path, r.Header.Clone())
		if strings.HasPrefix(r.URL.Path, "/fails") {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	r := newReceiver(t)
	p := serveConfig(t, fmt.Sprintf(tracedConfig, r.url, origin))
	told := func(path string) http.Header {
		h, _ := seen.Load(path)
		return h.(http.Header)
	}

	id, parent := parentOf("1", "01")
	get(t, p.data+"/products/1", parent, "Tracestate: vendor=x")
	spans := r.trace(t, id, 4)
	server, lookup, fill, client := spans["GET /products/{id}"], spans["cache lookup"], spans["fill"], spans["GET"]
	if server == nil || lookup == nil || fill == nil || client == nil {
		t.Fatalf("spans of a miss: %v", spans)
	}
	if hex.EncodeToString(server.ParentSpanId) != "b7ad6b7169203331" || !bytes.Equal(lookup.ParentSpanId, server.SpanId) ||
		!bytes.Equal(fill.ParentSpanId, server.SpanId) || !bytes.Equal(client.ParentSpanId, fill.SpanId) ||
		server.Kind != otlp.Span_SPAN_KIND_SERVER || client.Kind != otlp.Span_SPAN_KIND_CLIENT {
		t.Errorf("a miss hangs together wrongly: %v", spans)
	}
	wantAttributes(t, server, "http.request.method", "GET", "http.route", "/products/{id}", "url.path", "/products/1", "url.scheme", "http",
		"http.response.status_code", "200", "cacheproxy.route", "product", "cacheproxy.outcome", "miss", "cacheproxy.reason", "uri-miss",
		"cacheproxy.key", "v2:product:1", "server.address", "127.0.0.1", "client.address", "127.0.0.1")
	wantAttributes(t, lookup, "cacheproxy.lookup", "miss", "cacheproxy.reason", "uri-miss", "cacheproxy.key", "v2:product:1")
	wantAttributes(t, client, "http.response.status_code", "200", "cacheproxy.upstream", "shop", "url.full", origin+"/products/1", "server.address", "127.0.0.1")
	if h := told("/products/1"); h.Get("Traceparent") != "00-"+id+"-"+hex.EncodeToString(client.SpanId)+"-01" || h.Get("Tracestate") != "vendor=x" {
		t.Errorf("the origin was told %q %q", h.Get("Traceparent"), h.Get("Tracestate"))
	}
	p.line(t, "the trace in the access log", func(line string) bool { return strings.Contains(line, `"trace_id":"`+id) })

	id, parent = parentOf("2", "01")
	get(t, p.data+"/products/1", parent)
	spans = r.trace(t, id, 2)
	wantAttributes(t, spans["GET /products/{id}"], "cacheproxy.outcome", "hit")
	wantAttributes(t, spans["cache lookup"], "cacheproxy.lookup", "hit")

	id, parent = parentOf("3", "01")
	get(t, p.data+"/fails?token=secret", parent)
	spans = r.trace(t, id, 2)
	server, client = spans["GET /"], spans["GET"]
	if !bytes.Equal(client.ParentSpanId, server.SpanId) || server.Status.Code != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("an origin that fails: %v", spans)
	}
	wantAttributes(t, client, "error.type", "502", "url.full", origin+"/fails")

	// A renewal is a trace of its own that says what set it off.
	id, parent = parentOf("4", "01")
	wantReceipt(t, call(t, http.MethodPost, p.admin+"/purge", `{"keys":["v2:product:1"],"soft":true}`))
	get(t, p.data+"/products/1", parent)
	asker := r.trace(t, id, 2)["GET /products/{id}"]
	fill = r.find(t, "the fill of a renewal", func(s *otlp.Span) bool { return s.Name == "fill" && len(s.ParentSpanId) == 0 })
	if len(fill.Links) != 1 || !bytes.Equal(fill.Links[0].SpanId, asker.SpanId) || attribute(fill, "cacheproxy.reason") != "renewal" {
		t.Errorf("a renewal: %v", fill)
	}

	// A parent that is not sampled is neither exported nor forgotten.
	id, parent = parentOf("5", "00")
	get(t, p.data+"/unsampled", parent)
	if got := told("/unsampled").Get("Traceparent"); !strings.HasPrefix(got, "00-"+id) || !strings.HasSuffix(got, "-00") {
		t.Errorf("not sampled: the origin was told %q", got)
	}

	// What has not been exported yet is at the end.
	last, parent := parentOf("6", "01")
	get(t, p.data+"/last", parent)
	p.stop(t, patience)
	r.trace(t, last, 2)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.header.Get("X-Token") != "t1" || r.names["service.name"] != "shop-edge" || r.names["service.version"] == "" {
		t.Errorf("exported with %v as %v", r.header, r.names)
	}
	for _, s := range r.spans {
		if hex.EncodeToString(s.TraceId) == id || strings.Contains(s.String(), "secret") {
			t.Errorf("exported what it must not: %v", s)
		}
	}
}

// Requests that share a fill say so, and so does the fill.
func TestTracingOfSharedFills(t *testing.T) {
	t.Parallel()
	release, asked := make(chan struct{}), make(chan struct{}, 10)
	origin := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		fmt.Fprint(w, "x")
	})
	r := newReceiver(t)
	p := serveConfig(t, fmt.Sprintf(tracedConfig, r.url, origin))
	leader, parent := parentOf("1", "01")
	follower, second := parentOf("2", "01")
	var wg sync.WaitGroup
	wg.Go(func() { tryCall("GET", p.data+"/products/1", "", parent) })
	<-asked
	wg.Go(func() { tryCall("GET", p.data+"/products/1", "", second) })
	r.find(t, "the look-up of the second request", func(s *otlp.Span) bool { return hex.EncodeToString(s.TraceId) == follower })
	close(release)
	wg.Wait()
	fill := r.trace(t, leader, 4)["fill"]
	shared := r.trace(t, follower, 2)["GET /products/{id}"]
	// Between its look-up and its wait the second request may be late for the flight and find the copy.
	if attribute(shared, "cacheproxy.outcome") == "collapsed" && (len(shared.Links) != 1 || !bytes.Equal(shared.Links[0].SpanId, fill.SpanId)) {
		t.Errorf("the second request does not say whose fill it shared: %v", shared)
	}
}

// An endpoint that is down costs its spans and one line of the log.
func TestTracingWithoutReceiver(t *testing.T) {
	t.Parallel()
	p := serveConfig(t, fmt.Sprintf(tracedConfig, "http://127.0.0.1:1", newOrigin(t).url))
	for range 3 {
		before := metric(t, p, "cacheproxy_spans_dropped_total")
		if a := get(t, p.data+"/products/1"); a.status != http.StatusOK {
			t.Errorf("%d %q", a.status, a.body)
		}
		eventually(t, "spans are counted as dropped", func() bool { return metric(t, p, "cacheproxy_spans_dropped_total") != before })
	}
	p.stop(t, patience)
	if n := strings.Count(p.output(), "spans not exported"); n != 1 {
		t.Errorf("said %d times that spans are not exported, want once", n)
	}
}

// Without tracing the trace of a request reaches the origin as it came, byte for byte.
func TestTraceContextPassesThrough(t *testing.T) {
	var seen sync.Map
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) { seen.Store(r.URL.Path, r.Header.Clone()) })
	p := serveConfig(t, fmt.Sprintf(shopConfig, url))
	const parent, state = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-future", "a=1 ,\tb=2,  c=3,"
	for _, path := range []string{"/products/1", "/elsewhere"} {
		get(t, p.data+path, "Traceparent: "+parent, "Tracestate: "+state)
		h, _ := seen.Load(path)
		if got := h.(http.Header); got.Get("Traceparent") != parent || got.Get("Tracestate") != state {
			t.Errorf("%s: the origin got %q, %q", path, got["Traceparent"], got["Tracestate"])
		}
	}
}
