package config

import "cacheproxy/proxy/server"

// A request's header may be allowed so much: less refuses what browsers send, more is memory that any client can take.
const (
	minHeaderBytes = 4 << 10
	maxHeaderBytes = 16 << 20
)

// limits compiles what one client may take.
func (l *loader) limits(doc limitsDoc) server.Limits {
	for _, v := range []struct {
		key  string
		bad  bool
		text string
	}{
		{"max_connections", doc.MaxConnections == 0, "is zero, which lets nobody in; write 10000"},
		{"read_header_timeout", doc.HeaderTimeout == 0, "is zero, which would let clients hold connections for nothing; write 10s"},
		{"idle_timeout", doc.IdleTimeout == 0, "is zero, which would keep idle connections for ever; write 75s"},
		{"body_timeout", doc.BodyTimeout == 0, "is zero, which would let clients hold requests for nothing; write 30s"},
		{"write_timeout", doc.WriteTimeout == 0, "is zero, which would let clients hold answers for ever; write 60s"},
		{"max_header_bytes", doc.MaxHeaderBytes < minHeaderBytes, "is less than 4KiB, which browsers exceed; write 64KiB"},
		{"max_header_bytes", doc.MaxHeaderBytes > maxHeaderBytes, "is more than 16MiB, which every client can make the proxy hold; write 64KiB"},
	} {
		if path := join("limits", v.key); v.bad && !l.spoiled(path) {
			l.problem(path, "%s", v.text)
		}
	}
	if doc.MaxPerClient > doc.MaxConnections {
		l.problem("limits.max_connections_per_client", "is more than max_connections, so that it limits nothing; write less, or remove it")
	}
	return server.Limits{
		ReadHeaderTimeout: doc.HeaderTimeout, IdleTimeout: doc.IdleTimeout, BodyTimeout: doc.BodyTimeout, WriteTimeout: doc.WriteTimeout,
		MaxHeaderBytes: int(doc.MaxHeaderBytes), MaxConnections: doc.MaxConnections, MaxPerClient: doc.MaxPerClient,
	}
}
