package observe

import (
	"context"
	"log/slog"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	maxSpans      = 4096 // waiting spans; further ones are dropped
	batchSpans    = 512
	batchDelay    = time.Second
	flushSpans    = 3 * time.Second // for all remaining spans at the end
	complainEvery = time.Minute
)

// spanQueue passes ended spans to an exporter, in batches and in the background. Requests never wait for spanQueue.
// spanQueue implements the SDK's SpanProcessor. Unlike the SDK's own, spanQueue counts dropped spans and has an owner
// that waits for its end.
type spanQueue struct {
	exporter   sdk.SpanExporter
	timeout    time.Duration // of one batch
	waiting    chan sdk.ReadOnlySpan
	dropped    func(spans int)
	logger     *slog.Logger
	complained time.Time // when the last line about a failed export was logged; only run uses it
}

var _ sdk.SpanProcessor = (*spanQueue)(nil)

func newSpanQueue(e sdk.SpanExporter, timeout time.Duration, dropped func(int), log *slog.Logger) *spanQueue {
	return &spanQueue{exporter: e, timeout: timeout, waiting: make(chan sdk.ReadOnlySpan, maxSpans), dropped: dropped, logger: log}
}

// OnStart implements sdk.SpanProcessor.
func (*spanQueue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor.
func (q *spanQueue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.waiting <- s:
	default:
		q.dropped(1)
	}
}

// Shutdown implements sdk.SpanProcessor. The end of run does its work.
func (*spanQueue) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdk.SpanProcessor.
func (*spanQueue) ForceFlush(context.Context) error { return nil }

// run exports spans until ctx ends, and then the remaining spans, for a bounded time.
func (q *spanQueue) run(ctx context.Context) error {
	tick := time.NewTicker(batchDelay)
	defer tick.Stop()
	batch := make([]sdk.ReadOnlySpan, 0, batchSpans)
	for ctx.Err() == nil { // with spans waiting, select might not choose ctx.Done for long
		select {
		case s := <-q.waiting:
			if batch = append(batch, s); len(batch) == batchSpans {
				batch = q.export(ctx, batch)
			}
		case <-tick.C:
			batch = q.export(ctx, batch)
		case <-ctx.Done():
		}
	}
	return q.finish(context.WithoutCancel(ctx), batch)
}

func (q *spanQueue) finish(ctx context.Context, batch []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithTimeout(ctx, flushSpans)
	defer cancel()
	for {
		select {
		case s := <-q.waiting:
			if batch = append(batch, s); len(batch) == batchSpans {
				batch = q.export(ctx, batch)
			}
		default:
			q.export(ctx, batch)
			return q.exporter.Shutdown(ctx)
		}
	}
}

// export sends a batch once and returns its emptied array. The end of run does not cut off an export, which has a
// timeout.
func (q *spanQueue) export(ctx context.Context, batch []sdk.ReadOnlySpan) []sdk.ReadOnlySpan {
	if len(batch) == 0 {
		return batch
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), q.timeout)
		defer cancel()
	}
	if err := q.exporter.ExportSpans(ctx, batch); err != nil {
		q.dropped(len(batch))
		q.complain(err, len(batch))
	}
	clear(batch)
	return batch[:0]
}

// complain logs lost spans, once a minute at most: an endpoint that is down fails every second.
func (q *spanQueue) complain(err error, spans int) {
	if now := time.Now(); q.complained.IsZero() || now.Sub(q.complained) >= complainEvery {
		q.complained = now
		q.logger.Warn("spans not exported; see cacheproxy_spans_dropped_total", "spans", spans, "error", err)
	}
}
