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
	switch at := doc.at("max_header_bytes"); {
	case l.spoiled(at):
	case limits.MaxHeaderBytes < minHeaderBytes:
		l.problem(at, "is less than 4KiB, which browsers exceed; write 64KiB")
	case limits.MaxHeaderBytes > maxHeaderBytes:
		l.problem(at, "is more than 16MiB, which every client can make the proxy hold; write 64KiB")
	}
	if limits.MaxPerClient > limits.MaxConnections {
		l.problem(doc.at("max_connections_per_client"), "is more than max_connections, so that it limits nothing; write less, or remove it")
	}
	return limits
}
