package pass

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"cacheproxy/proxy/upstream"
)

// upgradeWish returns the protocols that the client wishes to switch to and may switch to (RFC 9110 §7.8), as the
// value of Upgrade; empty: none. After a switch to HTTP itself, all later requests would pass by the proxy's rules. A
// request of HTTP/1.0 has no Upgrade, nor has a request of HTTP/2 (RFC 9113 §8.6).
func upgradeWish(r *http.Request) string {
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade") {
		return ""
	}
	offered := slices.DeleteFunc(upstream.UpgradeProtocols(r.Header["Upgrade"]), func(protocol string) bool {
		name, version, versioned := strings.Cut(protocol, "/")
		switch strings.ToLower(name) {
		case "h2c", "h2", "http", "tls":
			return true
		}
		return !httpguts.ValidHeaderFieldName(name) || versioned && !httpguts.ValidHeaderFieldName(version) // both are tokens
	})
	return strings.Join(offered, ", ")
}

// withoutUpgrade hides the wish to upgrade from ReverseProxy, which takes several protocols for one and fails
// requests for names that it does not like. rewrite puts the wish back.
func withoutUpgrade(r *http.Request) *http.Request {
	if len(r.Header["Upgrade"]) == 0 {
		return r
	}
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header.Del("Upgrade")
	return &plain
}

// aheadConn is an upgraded connection whose first bytes net/http has read into its buffer: the client sent them ahead
// of the 101.
type aheadConn struct {
	net.Conn
	ahead io.Reader // the bytes in net/http's buffer; nil: all of them were read
}

func (c *aheadConn) Read(p []byte) (int, error) {
	if c.ahead != nil {
		if n, err := c.ahead.Read(p); err == nil {
			return n, nil
		}
		c.ahead = nil
	}
	return c.Conn.Read(p)
}

// CloseWrite tells the client that nothing follows, and leaves the other direction open.
func (c *aheadConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
