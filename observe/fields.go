package observe

import (
	"log/slog"
	"net"
	"strings"
)

// prefix is that of names which the conventions do not know, in traces and in logs.
const prefix = "cacheproxy."

// conventional are the names that OpenTelemetry's semantic conventions have for fields of the logs, and those that traces have for what
// the conventions do not know where these are other words. The time, the level and the text of a line are no attributes, and keep
// their names, as the id of a trace does, by which logs and traces are joined.
var conventional = map[string]string{
	slog.TimeKey: slog.TimeKey, slog.LevelKey: slog.LevelKey, slog.MessageKey: slog.MessageKey, "trace_id": "trace_id",

	"method": "http.request.method", "host": "server.address", "path": "url.path", "status": "http.response.status_code",
	"bytes": "http.response.body.size", "protocol": "network.protocol.version", "user_agent": "user_agent.original",
	"client": "client.address", "error": "exception.message", "stack": "exception.stacktrace",
	"route": string(routeKey), "outcome": string(outcomeKey), "reason": string(reasonKey), "key": string(copyKey),
	"request_id": string(requestIDKey), "upstream": string(upstreamKey), "query": "cacheproxy.query_names",
}

// ConventionalNames is a slog.HandlerOptions.ReplaceAttr that gives fields the names, and where they have another form the values, of
// OpenTelemetry's semantic conventions. Fields of a group are named by the group.
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
