package instance

import (
	"log/slog"
	"net/netip"
	"time"

	"cacheproxy/observe"
)

// introductions is what the log says of connections that begin wrongly under the PROXY protocol: a few lines a minute.
// Each kind has a throttle of its own, so that clients that send headers in vain hide no balancer. Safe for concurrent use.
type introductions struct {
	log              *slog.Logger
	proxies, clients observe.Throttle
}

// tell is server.Options.Misintroduced.
func (n *introductions) tell(peer netip.Addr, proxy bool, wrong string) {
	lines, text := &n.clients, "connection refused: only peers in proxy_protocol may begin with a PROXY header"
	if proxy {
		lines, text = &n.proxies, "connection closed: peers in proxy_protocol have to begin with a PROXY header"
	}
	if ok, skipped := lines.Pass(time.Now()); ok {
		n.log.Warn(text, "peer", peer.String(), "wrong", wrong, "more_since_last", skipped)
	}
}
