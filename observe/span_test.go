package observe

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"cacheproxy/test/bubbles"
)

func TestWithoutQuery(t *testing.T) {
	for _, c := range []struct {
		url  url.URL
		want string
	}{
		{url.URL{Scheme: "http", Host: "a:1", Opaque: "/x%2Fy", RawQuery: "token=1"}, "http://a:1/x%2Fy"},
		{url.URL{Scheme: "http", Host: "a:1", Opaque: "//client.example//x%2Fy"}, "http://a:1//x%2Fy"},
		{url.URL{Scheme: "https", Host: "a", Path: "//x"}, "https://a//x"},
		{url.URL{Scheme: "http", Host: "a"}, "http://a"},
	} {
		if got := withoutQuery(&c.url); got != c.want {
			t.Errorf("%#v: %q, want %q", c.url, got, c.want)
		}
	}
}

// Tracing that is off costs a comparison: everything works on nothing.
func TestNoTracer(t *testing.T) {
	var tracer *Tracer
	if err := tracer.Run(t.Context()); err != nil {
		t.Error(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	if n := testing.AllocsPerRun(100, func() {
		span := tracer.Request(r, time.Time{})
		fill := tracer.Fill(span, true, FillTrace{})
		client := fill.Origin(r, "shop")
		client.EndOrigin(200, "10.0.0.7:9000")
		client.Failed(0)
		fill.Link(span)
		fill.End()
		span.Lookup(LookupTrace{})
		span.EndRequest(RequestTrace{})
		if span.Recording() || span.TraceID() != "" || r.Header.Get("Traceparent") != "" {
			t.Error("a span where there is none")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// slow is an exporter that works as the test lets it.
type slow struct {
	export func(ctx context.Context, spans int) error
	closed atomic.Bool
}

func (s *slow) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	return s.export(ctx, len(spans))
}

func (s *slow) Shutdown(context.Context) error { s.closed.Store(true); return nil }

// inQueue runs f with a queue that is at work before an exporter, and says how much was dropped and logged.
func inQueue(t *testing.T, export func(context.Context, int) error, f func(end func(spans int), stop func() time.Duration)) (dropped int64, logged string) {
	t.Helper()
	var text strings.Builder
	var lost atomic.Int64
	bubbles.Test(t, func(t *testing.T) {
		e := &slow{export: export}
		q := newSpanQueue(e, 5*time.Second, func(n int) { lost.Add(int64(n)) }, slog.New(slog.NewTextHandler(&text, nil)))
		provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(q))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- q.run(ctx) }()
		end := func(spans int) {
			for range spans {
				_, span := provider.Tracer("test").Start(t.Context(), "x")
				span.End()
			}
		}
		stop := func() time.Duration {
			start := time.Now()
			cancel()
			if err := <-done; err != nil || !e.closed.Load() {
				t.Errorf("at the end: %v", err)
			}
			return time.Since(start)
		}
		f(end, stop)
	})
	return lost.Load(), text.String()
}

func TestSpanQueueExportsAll(t *testing.T) {
	var got atomic.Int64
	dropped, logged := inQueue(t, func(_ context.Context, n int) error { got.Add(int64(n)); return nil }, func(end func(int), stop func() time.Duration) {
		end(10)
		<-time.After(2 * batchDelay)
		synctest.Wait()
		if got.Load() != 10 {
			t.Errorf("%d exported after a while, want 10", got.Load())
		}
		end(3*batchSpans + 1)
		stop()
	})
	if got.Load() != 3*batchSpans+11 || dropped != 0 || logged != "" {
		t.Errorf("%d exported, %d dropped, said %q", got.Load(), dropped, logged)
	}
}

// An endpoint that hangs makes nobody wait, not even the end for long; what is lost is counted.
func TestSpanQueueNeverWaits(t *testing.T) {
	hang := func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
	const spans = batchSpans + maxSpans + 100
	dropped, _ := inQueue(t, hang, func(end func(int), stop func() time.Duration) {
		start := time.Now()
		end(batchSpans)
		synctest.Wait() // the first batch hangs
		end(maxSpans + 100)
		if time.Since(start) != 0 {
			t.Errorf("ending spans took %v", time.Since(start))
		}
		if took := stop(); took > 5*time.Second+flushSpans {
			t.Errorf("the end took %v", took)
		}
	})
	if dropped != spans {
		t.Errorf("%d of %d spans counted as dropped", dropped, spans)
	}
}

func TestSpanQueueComplainsOnceAMinute(t *testing.T) {
	fail := func(context.Context, int) error { return errors.New("connection refused") }
	dropped, logged := inQueue(t, fail, func(end func(int), stop func() time.Duration) {
		for range 90 {
			end(1)
			<-time.After(time.Second)
		}
		stop()
	})
	if n := strings.Count(logged, "connection refused"); n != 2 || dropped != 90 {
		t.Errorf("said %d times in 90 seconds, want 2; %d dropped", n, dropped)
	}
}

// What is not sampled does not take up the queue.
func TestSpanQueueIgnoresUnsampled(t *testing.T) {
	q := newSpanQueue(tracetest.NewInMemoryExporter(), 5*time.Second, func(int) {}, slog.New(slog.DiscardHandler))
	q.OnEnd(tracetest.SpanStub{}.Snapshot())
	if len(q.waiting) != 0 {
		t.Error("queued")
	}
}
