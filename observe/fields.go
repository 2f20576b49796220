package observe

import (
	"log/slog"
	"net"
	"strings"
)

// prefix begins names that the conventions lack, in traces and in logs.
const prefix = "cacheproxy."

// conventional are the names of log fields in OpenTelemetry's semantic conventions. For fields that the conventions
// lack, conventional has the attribute names of traces, where those differ. The time, the level and the message of a
// line are no attributes and keep their names. So does trace_id, which joins logs and traces.
var conventional = map[string]string{
	slog.TimeKey: slog.TimeKey, slog.LevelKey: slog.LevelKey, slog.MessageKey: slog.MessageKey, "trace_id": "trace_id",

	"method": "http.request.method", "host": "server.address", "path": "url.path", "status": "http.response.status_code",
	"bytes": "http.response.body.size", "protocol": "network.protocol.version", "user_agent": "user_agent.original",
	"client": "client.address", "error": "exception.message", "stack": "exception.stacktrace",
	"route": string(routeKey), "outcome": string(outcomeKey), "reason": string(reasonKey), "key": string(copyKey),
	"request_id": string(requestIDKey), "upstream": string(upstreamKey), "query": "cacheproxy.query_names",
}

// ConventionalNames is a slog.HandlerOptions.ReplaceAttr that gives fields the names of OpenTelemetry's semantic
// conventions, and the values where these have another form. Fields of a group keep their names below the group's.
func ConventionalNames(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	name, ok := conventional[a.Key]
	if !ok {
		name = prefix + a.Key
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
