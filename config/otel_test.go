package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What OpenTelemetry's variables say holds where the file and this program's own variables are silent (OpenTelemetry protocol exporter
// specification, endpoint URLs for OTLP/HTTP and configuration options).
func TestOTelEnvironment(t *testing.T) {
	for _, c := range []struct {
		about, file string
		env         string
		want        string // endpoint protocol timeout service header names; or what is wrong
	}{
		{"nothing", "", "", "none"},
		{"an endpoint for all signals", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "http://c:4318/v1/traces http 5s cacheproxy"},
		{"with a path", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/otlp/", "http://c:4318/otlp/v1/traces http 5s cacheproxy"},
		{"an endpoint for traces", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://a:1 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/x", "http://c:4318/x http 5s cacheproxy"},
		{"gRPC", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "http://c:4317 grpc 5s cacheproxy"},
		{"gRPC without a scheme", "", "OTEL_EXPORTER_OTLP_ENDPOINT=c:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "https://c:4317 grpc 5s cacheproxy"},
		{"gRPC without a scheme or TLS", "", "OTEL_EXPORTER_OTLP_ENDPOINT=c:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_INSECURE=true", "http://c:4317 grpc 5s cacheproxy"},
		{"the protocol of traces wins", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", "http://c:4317 grpc 5s cacheproxy"},
		{"timeout, headers, service", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/ OTEL_EXPORTER_OTLP_TIMEOUT=1500 OTEL_EXPORTER_OTLP_HEADERS=api-key=a%20b,X-B=c OTEL_SERVICE_NAME=shop", "http://c:4318/v1/traces http 1.5s shop X-B=c api-key=a b"},
		{"the file wins", "tracing: {endpoint: 'http://f:1', timeout: 2s, service: mine, headers: {A: b}}", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_TIMEOUT=1 OTEL_EXPORTER_OTLP_HEADERS=x=y OTEL_SERVICE_NAME=shop", "http://f:1 http 2s mine A=b"},
		{"the program's own variables win", "", "CACHEPROXY_TRACING_ENDPOINT=http://own:1 OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "http://own:1 http 5s cacheproxy"},
		{"beside an endpoint of the file", "tracing: {endpoint: 'http://f:1'}", "OTEL_EXPORTER_OTLP_TIMEOUT=1000", "http://f:1 http 1s cacheproxy"},
		{"no endpoint", "", "OTEL_EXPORTER_OTLP_HEADERS=x=y OTEL_SERVICE_NAME=shop", "none"},
		{"switched off", "", "OTEL_SDK_DISABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "none"},
		{"other exporters", "", "OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "none"},
		{"an unknown protocol", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_PROTOCOL=http/json", `environment OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" is not known here; write http/protobuf or grpc`},
		{"no URL", "", "OTEL_EXPORTER_OTLP_ENDPOINT=unix:/x", "environment OTEL_EXPORTER_OTLP_ENDPOINT: is not the URL"},
		{"malformed headers", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_HEADERS=secret", "environment OTEL_EXPORTER_OTLP_HEADERS: is not a list"},
		{"a timeout that is none", "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_TIMEOUT=0", "environment OTEL_EXPORTER_OTLP_TIMEOUT: is zero"},
	} {
		t.Run(c.about, func(t *testing.T) {
			for _, v := range strings.SplitAfter(c.env, " ") {
				if name, value, ok := strings.Cut(strings.TrimSpace(v), "="); ok {
					t.Setenv(name, value)
				}
			}
			s, err := Parse("x.yaml", []byte(c.file+"\nupstreams: [{name: api, url: 'http://127.0.0.1:9000'}]\n"), Overrides{})
			if got := exported(s, err); got != c.want && (err == nil || !strings.HasPrefix(got, c.want)) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

func exported(s *Snapshot, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case s.Tracing == nil:
		return "none"
	}
	protocol := "http"
	if s.Tracing.GRPC {
		protocol = "grpc"
	}
	var headers []string
	for name, value := range s.Tracing.Headers {
		headers = append(headers, fmt.Sprintf(" %s=%s", name, string(value)))
	}
	slices.Sort(headers)
	return fmt.Sprint(s.Tracing.Endpoint, " ", protocol, " ", s.Tracing.Timeout, " ", s.Tracing.Service) + strings.Join(headers, "")
}
