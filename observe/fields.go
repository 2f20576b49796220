package observe

import (
	"log/slog"
	"net"
	"strings"
)

// conventional are the names that OpenTelemetry's semantic conventions have for fields of the logs, and those that traces have for what
// the conventions do not know. The time, the level and the text of a line are no attributes, and keep their names.
var conventional = map[string]string{
	"method": "http.request.method", "host": "server.address", "path": "url.path", "status": "http.response.status_code",
	"bytes": "http.response.body.size", "protocol": "network.protocol.version", "user_agent": "user_agent.original",
	"client": "client.address", "error": "exception.message", "stack": "exception.stacktrace",
	"route": string(routeKey), "outcome": string(outcomeKey), "reason": string(reasonKey), "key": string(copyKey),
	"request_id": string(requestIDKey), "upstream": string(upstreamKey), "duration_ms": "cacheproxy.duration_ms",
	"origin_ms": "cacheproxy.origin_ms", "query": "cacheproxy.query_names", "cache_status": "cacheproxy.cache_status",
	"unlisted_headers": "cacheproxy.unlisted_headers", "unlisted_parameters": "cacheproxy.unlisted_parameters",
	"unlisted_cookies": "cacheproxy.unlisted_cookies", "upstream_address": "cacheproxy.upstream_address",
	"origin_request_id": "cacheproxy.origin_request_id", "aborted": "cacheproxy.aborted",
	"write": "cacheproxy.write",
}

// ConventionalNames is a slog.HandlerOptions.ReplaceAttr that gives fields the names, and where they have another form the values, of
// OpenTelemetry's semantic conventions.
func ConventionalNames(_ []string, a slog.Attr) slog.Attr {
	name, ok := conventional[a.Key]
	if !ok {
		return a
	}
	switch a.Key {
	case "host":
		if host, _, err := net.SplitHostPort(a.Value.String()); err == nil {
			a.Value = slog.StringValue(host)
		}
	case "protocol":
		a.Value = slog.StringValue(strings.TrimPrefix(a.Value.String(), "HTTP/"))
	}
	a.Key = name
	return a
}
