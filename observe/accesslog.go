package observe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/policy"
)

// AccessLogOptions say which lines are written, and where.
type AccessLogOptions struct {
	Format string // json, text or off
	OTel   bool   // fields have the names of OpenTelemetry's semantic conventions
	// Hits is the share of hits that is written, 0 to 1: answers from a copy, fresh or stale, and answers of observed
	// routes that a copy would have given unchanged.
	Hits   float64
	Others float64   // the share of everything else: 0 to 1
	Output io.Writer // gets one line with each Write; must be safe for concurrent use and not keep the line
	// Sample returns numbers from 0 up to but not including 1, and must be safe for concurrent use. Nil: random
	// numbers.
	Sample func() float64
}

// Record is one answered request. Empty texts and zero times are left out of the line.
type Record struct {
	Time     time.Time // when the head of the request was complete
	Method   string    // empty: the input was not a valid request
	Host     string
	Path     string // raw, without the query
	Query    string // raw; the line has only the parameters' names, since values can be personal
	Protocol string // HTTP/1.1, HTTP/2.0
	Status   int
	Bytes    int64 // of the answer's content
	Duration time.Duration
	Aborted  bool // the answer broke off
	Route    string
	Outcome  policy.Outcome
	Reason   policy.Reason
	Cache    string // this proxy's Cache-Status
	Unlisted string // names of the request's parts that sent the request past the cache
	// UnlistedKind is the kind of the names in Unlisted: a kind of RouteMetrics.Bypassed.
	UnlistedKind string
	Key          string        // the copy's name, to purge it by
	Upstream     string        // name of the upstream of the request; empty: no upstream was called
	Address      string        // IP:port of the upstream that answered
	Origin       time.Duration // time waiting for the upstream, its queue included
	Client       string        // address
	UserAgent    string
	RequestID    string
	// OriginID is the request id that the upstream saw or answered with, where that differs from RequestID: a fetch
	// that several requests share has an id of its own.
	OriginID string
	TraceID  string
	WriteID  string // id of a write that was accepted before its upstream had it
}

// failed reports whether a request is logged whatever the sample says.
func (r *Record) failed() bool {
	return r.Status >= 500 || r.Aborted || r.Outcome == policy.Failed || r.Outcome == policy.Shed
}

// AccessLog writes a line for a sample of requests. All methods are safe for concurrent use.
type AccessLog struct {
	handler slog.Handler // nil: off
	plain   io.Writer    // output for plain lines; nil: the handler writes all lines
	shares  atomic.Pointer[shares]
	sample  func() float64
}

// shares are the shares of hits and of all other requests that are written.
type shares struct{ hits, others float64 }

// NewAccessLog makes an access log. It fails on an unknown format.
func NewAccessLog(o AccessLogOptions) (*AccessLog, error) {
	l := &AccessLog{sample: o.Sample}
	l.SetShares(o.Hits, o.Others)
	if l.sample == nil {
		l.sample = rand.Float64
	}
	options := &slog.HandlerOptions{}
	if o.OTel {
		options.ReplaceAttr = ConventionalNames
	}
	switch o.Format {
	case "json":
		l.handler = slog.NewJSONHandler(o.Output, options)
		if !o.OTel {
			l.plain = o.Output
		}
	case "text":
		l.handler = slog.NewTextHandler(o.Output, options)
	case "off":
	default:
		return nil, fmt.Errorf("unknown format %q of the access log: use json, text or off", o.Format)
	}
	return l, nil
}

// SetShares changes the shares of written lines, from the next record on. Shares are from 0 to 1.
func (l *AccessLog) SetShares(hits, others float64) { l.shares.Store(&shares{hits, others}) }

// Log writes a record if it is sampled. Errors are always written: answers of 500 and above, answers that broke off,
// and requests that the proxy had to refuse.
func (l *AccessLog) Log(r *Record) {
	if l.Sampled(r) {
		l.Write(r)
	}
}

// Sampled decides whether to write a request, by Status, Aborted and Outcome. Callers use Sampled to fill in the other
// fields only for written records. Each call draws anew.
func (l *AccessLog) Sampled(r *Record) bool {
	shares := l.shares.Load()
	share := shares.others
	switch r.Outcome {
	// WouldHit counts as a hit: before a route is switched on, such lines are as many and as alike as hits are
	// afterwards.
	case policy.Hit, policy.Stale, policy.Board, policy.WouldHit:
		share = shares.hits
	}
	switch {
	case l.handler == nil:
		return false
	case r.failed(), share == 1:
		return true
	case share == 0:
		return false
	}
	return l.sample() < share
}

// Write writes a record, sampled or not.
func (l *AccessLog) Write(r *Record) {
	if l.handler == nil {
		return
	}
	var room [mostFields]slog.Attr
	attrs := r.appendTo(room[:0])
	if l.plain != nil && writePlain(l.plain, r.Time, attrs) {
		return
	}
	line := slog.NewRecord(r.Time, slog.LevelInfo, lineMessage, 0)
	line.AddAttrs(attrs...)
	// slog's own loggers drop this error too: a request must not fail because the log cannot be written.
	_ = l.handler.Handle(context.Background(), line)
}

const (
	// lineMessage is the message of every line.
	lineMessage = "request"
	// mostFields bounds the further fields of a line.
	mostFields = 24
)

// appendTo appends the fields of a record in the order of its line.
func (r *Record) appendTo(attrs []slog.Attr) []slog.Attr {
	if r.Method != "" {
		attrs = append(attrs, slog.String("method", r.Method), slog.String("host", bounded(r.Host)), slog.String("path", bounded(r.Path)))
	}
	attrs = append(attrs, slog.Int("status", r.Status), slog.Int64("bytes", r.Bytes), slog.Float64("duration_ms", milliseconds(r.Duration)))
	if r.Method != "" {
		attrs = append(attrs, slog.String("route", r.Route))
	}
	attrs = append(attrs, slog.String("outcome", r.Outcome.String()))
	for _, field := range [...]struct{ name, value string }{
		{"reason", r.Reason.String()}, {"cache_status", r.Cache}, {unlistedFields[r.UnlistedKind], r.Unlisted}, {"query", parameterNames(r.Query)}, {"key", r.Key},
		{"upstream", r.Upstream}, {"upstream_address", r.Address}, {"client", r.Client}, {"protocol", r.Protocol}, {"user_agent", r.UserAgent},
		{"request_id", r.RequestID}, {"origin_request_id", r.OriginID}, {"trace_id", r.TraceID},
		{"write", r.WriteID},
	} {
		if field.value != "" {
			attrs = append(attrs, slog.String(field.name, bounded(field.value)))
		}
	}
	if r.Origin > 0 {
		attrs = append(attrs, slog.Float64("origin_ms", milliseconds(r.Origin)))
	}
	if r.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	return attrs
}

// unlistedFields are the field names for Record.Unlisted, by kind.
var unlistedFields = map[string]string{KindHeader: "unlisted_headers", KindQuery: "unlisted_parameters", KindCookie: "unlisted_cookies"}

// maxField bounds one text of a line, in bytes: a client can send many kilobytes of path or User-Agent.
const maxField = 1 << 10

func bounded(s string) string {
	if len(s) <= maxField {
		return s
	}
	return s[:maxField] + "…"
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// parameterNames lists the raw names of a query's parameters. A parameter without "=" may be all value and is shown as
// "…".
func parameterNames(query string) string {
	if query == "" {
		return ""
	}
	var names []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, ok := strings.Cut(pair, "=")
		if !ok {
			name = "…"
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}
