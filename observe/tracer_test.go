package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // which exports come in
	"google.golang.org/grpc/metadata"
)

// grpcReceiver is an OTLP endpoint over gRPC.
type grpcReceiver struct {
	collector.UnimplementedTraceServiceServer
	got chan string
}

func (r *grpcReceiver) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	header, _ := metadata.FromIncomingContext(ctx)
	span := req.ResourceSpans[0].ScopeSpans[0].Spans[0]
	peer := ""
	for _, a := range span.Attributes {
		if a.Key == "network.peer.address" {
			peer = a.Value.GetStringValue()
		}
	}
	r.got <- span.Name + " from " + peer + ", token " + header.Get("token")[0]
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestExportOverGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	receiver := &grpcReceiver{got: make(chan string, 1)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, receiver)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	tracer, err := NewTracer(TracerOptions{
		Endpoint: &url.URL{Scheme: "http", Host: listener.Addr().String()}, GRPC: true, Timeout: 5 * time.Second, Headers: map[string]string{"token": "t"},
		Sample: 1, Service: "test", Version: "v1", Dropped: func(n int) { t.Errorf("%d spans lost", n) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	span := tracer.Request(httptest.NewRequest("GET", "/", nil), time.Now())
	span.Origin(httptest.NewRequest("GET", "/", nil), "shop").EndOrigin(200, "10.0.0.7:9000")
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := tracer.Run(ctx); err != nil { // which sends what waits
		t.Error(err)
	}
	if got := <-receiver.got; got != "GET from 10.0.0.7, token t" {
		t.Errorf("got %q", got)
	}
}

// What a client says in tracestate goes on with the request to the origin as far as everybody has to pass it on, and no further (W3C
// Trace Context §3.3.1.5): it may be the fetch of many.
func TestTracestateIsBounded(t *testing.T) {
	tracer, err := NewTracer(TracerOptions{
		Endpoint: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Timeout: time.Second, Service: "test", Version: "v1",
		Dropped: func(int) {}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	member := func(key string, length int) string { return key + "=" + strings.Repeat("x", length-len(key)-1) }
	var many, kept []string
	for i := range 31 {
		many = append(many, member(fmt.Sprintf("k%d", i), 100))
	}
	kept = append(kept, many[:5]...)
	for said, want := range map[string]string{
		"a=1,b=2":               "a=1,b=2",
		strings.Join(many, ","): strings.Join(kept, ","),
		member("long", 200) + "," + strings.Join(kept[:4], ",") + ",z=1": strings.Join(kept[:4], ",") + ",z=1",
	} {
		in, out := httptest.NewRequest("GET", "/", nil), httptest.NewRequest("GET", "/", nil)
		in.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		in.Header.Set("Tracestate", said)
		tracer.Request(in, time.Now()).Origin(out, "shop")
		if got := out.Header.Get("Tracestate"); got != want || out.Header.Get("Traceparent")[3:35] != "4bf92f3577b34da6a3ce929d0e0e4736" {
			t.Errorf("%q became %q of %q, want %q", said, got, out.Header.Get("Traceparent"), want)
		}
	}
}
