package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// exportProtocol is the protocol of spans to a collector.
type exportProtocol uint8

const (
	overHTTP exportProtocol = iota // zero value: OTLP/HTTP with protobuf
	overGRPC
)

// exportProtocols has the words of OTEL_EXPORTER_OTLP_PROTOCOL.
var exportProtocols = []choice[exportProtocol]{{"http/protobuf", overHTTP}, {"grpc", overGRPC}}

// tracing is the way of traces to a collector.
type tracing struct {
	Endpoint *url.URL      // of an OTLP receiver
	GRPC     bool          // the receiver speaks gRPC; false: HTTP
	Timeout  time.Duration // of one export
	Sample   float64       // 0 to 1: share of the requests that do not belong to a trace already
	Service  string
	Headers  map[string]secret // sent with every export
}

// compileTracing is nil where nothing is traced.
func compileTracing(doc *part) *tracing {
	protocol := read[exportProtocol](doc, "protocol")
	endpoint, headers := doc.text("endpoint"), read[map[string]string](doc, "headers")
	if endpoint == "" {
		for _, name := range []string{"", "protocol", "sample", "service", "headers", "timeout"} {
			if doc.has(name) && !doc.spoiled("endpoint") {
				doc.problem(name, "has no tracing.endpoint beside it; write endpoint: http://127.0.0.1:4318, or remove tracing")
				break
			}
		}
		return nil
	}
	t := &tracing{
		GRPC: protocol == overGRPC, Timeout: doc.duration("timeout"), Sample: doc.share("sample"), Service: doc.text("service"), Headers: map[string]secret{},
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || !hostForm.MatchString(u.Host):
		// The parser's own error would repeat a password.
		doc.spoil("endpoint", "is not the URL of an OTLP receiver; write http://127.0.0.1:4318, or for gRPC http://127.0.0.1:4317")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		doc.spoil("endpoint", "has more than host and path; write http://127.0.0.1:4318, and credentials under tracing.headers")
	}
	if err == nil && t.GRPC && strings.Trim(u.Path, "/") != "" && !doc.spoiled("endpoint") {
		doc.spoil("endpoint", "has a path, which gRPC knows none of; write http://127.0.0.1:4317")
	}
	t.Endpoint, doc.there = u, true
	if t.Service == "" && !doc.spoiled("service") {
		doc.problem("service", "is empty; write a name for your traces to be found by, or remove it")
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := join("headers", name)
		switch value := headers[name]; {
		case doc.spoiled(at):
		case !token.MatchString(name):
			doc.problem(at, "is not the name of a header field; write Authorization: \"Bearer ${file:/run/secrets/token}\"")
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			doc.problem(at, "has a line break or another control character in its value; remove it")
		default:
			t.Headers[name] = secret(value)
		}
	}
	return t
}
