package httpcache

import (
	"net/http"
	"strings"
)

// Length of a traceparent of version 00: version, trace id, parent id and flags, with dashes between them.
const traceparentLength = 2 + 1 + 32 + 1 + 16 + 1 + 2

// TraceID is the id of the trace that a request belongs to (W3C Trace Context §3.2). Empty: the request has no
// traceparent, or a malformed one.
func TraceID(h http.Header) string {
	lines := h["Traceparent"]
	if len(lines) != 1 {
		return ""
	}
	s := lines[0]
	if len(s) < traceparentLength || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return ""
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	switch {
	case !hexBytes.all(version) || version == "ff" || !hexBytes.all(flags):
		return ""
	case len(s) > traceparentLength && (version == "00" || s[traceparentLength] != '-'):
		return "" // only later versions may have more text (§3.2.4)
	case !hexBytes.all(trace) || !hexBytes.all(parent) || zeros(trace) || zeros(parent):
		return ""
	}
	return trace
}

func zeros(s string) bool { return strings.Trim(s, "0") == "" }

// maxRequestID bounds the length of a request id that the proxy takes over, in bytes.
const maxRequestID = 128

// ValidRequestID reports whether a request id from elsewhere can be used unchanged: printed into a log line, a header
// field and the text of an error, and searched for. There is no standard. The characters are those of UUIDs, base64,
// and the ids of load balancers.
func ValidRequestID(id string) bool {
	return id != "" && len(id) <= maxRequestID && requestIDBytes.all(id)
}

// traces are the fields that name the trace of a request, or that name or date the single request. They differ between
// any two requests, and no answer depends on them.
var traces = func() map[string]bool {
	set := make(map[string]bool)
	for _, name := range []string{
		"Traceparent", "Tracestate", "Baggage", "Correlation-Context", "B3", "X-Request-Id", "X-Correlation-Id", "Request-Id", "X-Trace-Id",
		"X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "Grpc-Trace-Bin", "Sentry-Trace", "Uber-Trace-Id", "Newrelic", "X-Newrelic-Id",
		"X-Newrelic-Transaction", "Elastic-Apm-Traceparent", "X-Ot-Span-Context", "Jaeger-Baggage", "Sw8", "X-Request-Start",
		"X-Queue-Start", "Postman-Token", "Cf-Ray", "X-Amz-Cf-Id", "X-Azure-Ref", "X-Varnish", "X-Timer",
	} {
		set[name] = true
	}
	return set
}()

// IsTrace reports whether a field, by its canonical name, is about a trace or names or dates the single request.
func IsTrace(name string) bool {
	return traces[name] || strings.HasPrefix(name, "X-B3-") || strings.HasPrefix(name, "X-Datadog-") ||
		strings.HasPrefix(name, "X-Instana-") || strings.HasPrefix(name, "Ot-Tracer-")
}
