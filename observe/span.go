package observe

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cacheproxy/policy"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Attributes that the conventions lack. Keys are names to purge by, never storage keys.
const (
	routeKey     = attribute.Key("cacheproxy.route")
	outcomeKey   = attribute.Key("cacheproxy.outcome")
	reasonKey    = attribute.Key("cacheproxy.reason")
	foundKey     = attribute.Key("cacheproxy.lookup")
	copyKey      = attribute.Key("cacheproxy.key")
	requestIDKey = attribute.Key("cacheproxy.request_id")
	upstreamKey  = attribute.Key("cacheproxy.upstream")
)

// attributes drops attributes with an empty text.
func attributes(all ...attribute.KeyValue) []attribute.KeyValue {
	kept := all[:0]
	for _, a := range all {
		if a.Value.Type() != attribute.STRING || a.Value.AsString() != "" {
			kept = append(kept, a)
		}
	}
	return kept
}

// LookupTrace is a lookup of a copy that has just ended.
type LookupTrace struct {
	Began  time.Time
	Route  string
	Found  string        // state of the copy; miss: no copy
	Reason policy.Reason // why the copy cannot answer as is
	Key    string        // the copy's name
}

// Lookup adds the span of a lookup.
func (s *Span) Lookup(l LookupTrace) {
	if !s.Recording() {
		return
	}
	s.child("cache lookup", trace.WithTimestamp(l.Began), trace.WithAttributes(attributes(
		routeKey.String(l.Route), foundKey.String(l.Found), reasonKey.String(l.Reason.String()), copyKey.String(bounded(l.Key)),
	)...)).End()
}

// RequestTrace is an answered request. The query is left out, since its values can be personal.
type RequestTrace struct {
	Request      *http.Request
	Scheme, Path string
	Pattern      string // of the route; empty: no pattern matched
	Client       string // address
	Status       int
	Aborted      bool
	Route        string
	Outcome      policy.Outcome
	Reason       policy.Reason
	Key          string
	RequestID    string
}

// EndRequest ends the span of a client's request. A 5xx answer is an error of the server (semantic conventions of HTTP
// spans). A 4xx answer, which is the client's error, is not.
func (s *Span) EndRequest(r RequestTrace) {
	if !s.Recording() {
		return
	}
	if r.Pattern != "" {
		s.span.SetName(r.Request.Method + " " + r.Pattern)
	}
	host, _, err := net.SplitHostPort(r.Request.Host)
	if err != nil {
		host = r.Request.Host
	}
	s.span.SetAttributes(attributes(
		semconv.HTTPRequestMethodKey.String(r.Request.Method), semconv.URLScheme(r.Scheme), semconv.URLPath(bounded(r.Path)),
		semconv.ServerAddress(bounded(host)), semconv.HTTPRoute(r.Pattern), semconv.ClientAddress(r.Client),
		semconv.NetworkProtocolVersion(strings.TrimPrefix(r.Request.Proto, "HTTP/")), semconv.UserAgentOriginal(bounded(r.Request.UserAgent())),
		routeKey.String(r.Route), outcomeKey.String(r.Outcome.String()), reasonKey.String(r.Reason.String()), copyKey.String(bounded(r.Key)),
		requestIDKey.String(r.RequestID),
	)...)
	if r.Status != 0 {
		s.span.SetAttributes(semconv.HTTPResponseStatusCode(r.Status))
	}
	switch {
	case r.Aborted:
		s.fail("aborted")
	case r.Status >= http.StatusInternalServerError:
		s.fail(strconv.Itoa(r.Status))
	}
	s.span.End()
}

// FillTrace is a fetch from an origin whose answer several requests share.
type FillTrace struct {
	Route  string
	Reason policy.Reason
}

// Fill begins the span of a fill, below the span of the request that waits for the fill. A detached fill, which no
// request waits for, begins a trace of its own with a link to the request that caused it.
func (t *Tracer) Fill(asker *Span, detached bool, f FillTrace) *Span {
	if t == nil || asker == nil {
		return nil
	}
	options := []trace.SpanStartOption{trace.WithAttributes(routeKey.String(f.Route), reasonKey.String(f.Reason.String()))}
	if detached {
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: asker.span.SpanContext()}))
	}
	return asker.child("fill", options...)
}

// Origin begins the span of a request to an origin, up to the head of the answer, and writes the span's context into
// the request. Without a span the request keeps its fields.
func (s *Span) Origin(req *http.Request, upstream string) *Span {
	if s == nil {
		return nil
	}
	var options []trace.SpanStartOption
	if s.Recording() {
		all := attributes(semconv.HTTPRequestMethodKey.String(req.Method), semconv.URLFull(bounded(withoutQuery(req.URL))),
			semconv.ServerAddress(req.URL.Hostname()), upstreamKey.String(upstream))
		if port, err := strconv.Atoi(req.URL.Port()); err == nil {
			all = append(all, semconv.ServerPort(port))
		}
		options = append(options, trace.WithAttributes(all...))
	}
	child := s.child(req.Method, append(options, trace.WithSpanKind(trace.SpanKindClient))...)
	child.inject(req.Header)
	return child
}

// withoutQuery is the URL of a request to an origin. Opaque, where set, has the path.
func withoutQuery(u *url.URL) string {
	path := u.EscapedPath()
	if u.Opaque != "" {
		path = u.Opaque
		if rest, absolute := strings.CutPrefix(path, "//"); absolute {
			path = rest[max(strings.IndexByte(rest, '/'), 0):]
		}
	}
	return u.Scheme + "://" + u.Host + path
}

// EndOrigin ends the span of a request that an origin has answered. In a client's span, 4xx answers are errors too.
// peer is the address that answered, as IP:port.
func (s *Span) EndOrigin(status int, peer string) {
	if s == nil {
		return
	}
	s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if at, err := netip.ParseAddrPort(peer); err == nil {
		s.span.SetAttributes(semconv.NetworkPeerAddress(at.Addr().String()), semconv.NetworkPeerPort(int(at.Port())))
	}
	if status >= http.StatusBadRequest {
		s.fail(strconv.Itoa(status))
	}
	s.span.End()
}

// Failed records that there was no answer.
func (s *Span) Failed(why policy.Reason) {
	if s != nil {
		s.fail(why.String())
	}
}

func (s *Span) fail(kind string) {
	s.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	s.span.SetStatus(codes.Error, "")
}
