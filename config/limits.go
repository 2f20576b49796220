package config

import "cacheproxy/proxy/server"

// A request's header may be allowed so much: less refuses what browsers send, more is memory that any client can take.
const (
	minHeaderBytes = 4 << 10
	maxHeaderBytes = 16 << 20
)

// limits compiles what one client may take.
func (l *loader) limits(doc *Part) server.Limits {
	limits := server.Limits{
		ReadHeaderTimeout: doc.duration("read_header_timeout"), IdleTimeout: doc.duration("idle_timeout"),
		BodyTimeout: doc.duration("body_timeout"), WriteTimeout: doc.duration("write_timeout"),
		MaxHeaderBytes: int(doc.bytes("max_header_bytes")), MaxConnections: doc.number("max_connections"), MaxPerClient: doc.number("max_connections_per_client"),
	}
	for _, v := range []struct {
		key  string
		bad  bool
		text string
	}{
		{"max_connections", limits.MaxConnections == 0, "is zero, which lets nobody in; write 10000"},
		{"read_header_timeout", limits.ReadHeaderTimeout == 0, "is zero, which would let clients hold connections for nothing; write 10s"},
		{"idle_timeout", limits.IdleTimeout == 0, "is zero, which would keep idle connections for ever; write 75s"},
		{"body_timeout", limits.BodyTimeout == 0, "is zero, which would let clients hold requests for nothing; write 30s"},
		{"write_timeout", limits.WriteTimeout == 0, "is zero, which would let clients hold answers for ever; write 60s"},
		{"max_header_bytes", limits.MaxHeaderBytes < minHeaderBytes, "is less than 4KiB, which browsers exceed; write 64KiB"},
		{"max_header_bytes", limits.MaxHeaderBytes > maxHeaderBytes, "is more than 16MiB, which every client can make the proxy hold; write 64KiB"},
		{"max_connections_per_client", limits.MaxPerClient > limits.MaxConnections, "is more than max_connections, so that it limits nothing; write less, or remove it"},
	} {
		if path := doc.at(v.key); v.bad && !l.spoiled(path) {
			l.problem(path, "%s", v.text)
		}
	}
	return limits
}
