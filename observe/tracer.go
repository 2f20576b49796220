package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// TracerOptions say where traces go, and how many. All fields but GRPC and Headers are required.
type TracerOptions struct {
	Endpoint *url.URL          // of an OTLP receiver; over HTTP without a path: /v1/traces
	GRPC     bool              // the receiver speaks gRPC; false: HTTP
	Timeout  time.Duration     // of one export
	Headers  map[string]string // sent with every export, such as a token
	Sample   float64           // the share of requests without a traced parent: 0 to 1
	Service  string            // service.name
	Version  string            // service.version
	Dropped  func(spans int)   // called for lost spans; must not block
	Logger   *slog.Logger
}

// Tracer makes the spans of requests and exports them in the background. A nil Tracer makes no spans, at no cost. All
// methods are safe for concurrent use.
type Tracer struct {
	tracer trace.Tracer
	spans  *spanQueue
}

// propagator reads and writes traceparent and tracestate (W3C Trace Context).
var propagator propagation.TraceContext

// NewTracer makes a tracer. NewTracer neither dials nor starts anything: spans wait until Run, and are dropped beyond a
// bound.
func NewTracer(o TracerOptions) (*Tracer, error) {
	exporter, err := newExporter(o)
	if err != nil {
		return nil, fmt.Errorf("make OTLP exporter: %w", err)
	}
	queue := newSpanQueue(exporter, o.Timeout, o.Dropped, o.Logger)
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Sample))),
		sdk.WithSpanProcessor(queue), sdk.WithResource(describe(o)))
	return &Tracer{tracer: provider.Tracer("cacheproxy", trace.WithInstrumentationVersion(o.Version)), spans: queue}, nil
}

// newExporter makes the exporter of spans. The exporter does not retry: an endpoint that is down costs the spans of its
// downtime, since memory and connections are for requests. The context is only for starting, which waits for nothing:
// the exporter dials when it exports.
func newExporter(o TracerOptions) (sdk.SpanExporter, error) {
	if o.GRPC {
		return otlptracegrpc.New(context.Background(),
			otlptracegrpc.WithEndpointURL(o.Endpoint.String()), otlptracegrpc.WithHeaders(o.Headers), otlptracegrpc.WithTimeout(o.Timeout),
			otlptracegrpc.WithCompressor("gzip"), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}))
	}
	endpoint := *o.Endpoint
	if strings.Trim(endpoint.Path, "/") == "" {
		endpoint.Path = "/v1/traces"
	}
	return otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(endpoint.String()), otlptracehttp.WithHeaders(o.Headers), otlptracehttp.WithTimeout(o.Timeout),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
}

// describe is the resource that the spans come from. OTEL_RESOURCE_ATTRIBUTES can add attributes, as in other programs.
func describe(o TracerOptions) *resource.Resource {
	attributes := []attribute.KeyValue{semconv.ServiceName(o.Service), semconv.ServiceVersion(o.Version)}
	if host, err := os.Hostname(); err == nil {
		attributes = append(attributes, semconv.ServiceInstanceID(host))
	}
	own := resource.NewSchemaless(attributes...)
	if all, err := resource.Merge(resource.Environment(), own); err == nil {
		return all
	}
	return own
}

// Run exports spans until ctx ends, and then the remaining spans, for a few seconds at most. On a nil Tracer Run does
// nothing.
func (t *Tracer) Run(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.spans.run(ctx)
}

// Span is a part of a trace. All methods do nothing on a nil Span.
type Span struct {
	tracer *Tracer
	span   trace.Span
}

// Request begins the span of a client's request, in the trace that the request belongs to.
func (t *Tracer) Request(r *http.Request, began time.Time) *Span {
	if t == nil {
		return nil
	}
	ctx := boundState(propagator.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
	return t.start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(began))
}

const (
	// longestState bounds the part of a client's tracestate that a span keeps, in bytes (W3C Trace Context §3.3.1.5).
	longestState = 512
	// longestMember is the length of a tracestate member up to which longer members are removed first, in bytes.
	longestMember = 128
)

// boundState removes members from the end of a client's tracestate that is too long. A fill belongs to the trace of one
// request but serves several, and an origin may refuse the fill for the length of the field.
func boundState(ctx context.Context) context.Context {
	from := trace.SpanContextFromContext(ctx)
	state := from.TraceState()
	if len(state.String()) <= longestState {
		return ctx
	}
	var keys []string
	state.Walk(func(key, _ string) bool { keys = append(keys, key); return true })
	for _, least := range []int{longestMember, 0} { // long members first
		for i := len(keys) - 1; i >= 0 && len(state.String()) > longestState; i-- {
			if len(keys[i])+len("=")+len(state.Get(keys[i])) > least {
				state = state.Delete(keys[i])
			}
		}
	}
	return trace.ContextWithRemoteSpanContext(ctx, from.WithTraceState(state))
}

func (t *Tracer) start(ctx context.Context, name string, options ...trace.SpanStartOption) *Span {
	_, span := t.tracer.Start(ctx, name, options...)
	return &Span{tracer: t, span: span}
}

// child begins a span below s.
func (s *Span) child(name string, options ...trace.SpanStartOption) *Span {
	return s.tracer.start(trace.ContextWithSpan(context.Background(), s.span), name, options...)
}

// Recording reports whether the attributes of the span will be exported.
func (s *Span) Recording() bool { return s != nil && s.span.IsRecording() }

// TraceID is the trace that the span belongs to; empty for a nil Span.
func (s *Span) TraceID() string {
	if s == nil {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

// Link records on s that s used the result of other, and, while other lasts, records the use on other.
func (s *Span) Link(other *Span) {
	if s == nil || other == nil || s == other {
		return
	}
	s.span.AddLink(trace.Link{SpanContext: other.span.SpanContext()})
	other.span.AddLink(trace.Link{SpanContext: s.span.SpanContext()})
}

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// inject puts the span's context into the fields of a request to an origin.
func (s *Span) inject(h http.Header) {
	delete(h, "Traceparent")
	delete(h, "Tracestate")
	propagator.Inject(trace.ContextWithSpan(context.Background(), s.span), propagation.HeaderCarrier(h))
}
