package upstream

import (
	"net/http"
	"net/url"
	"strings"

	"cacheproxy/policy/httpcache"
)

// SetTarget points req at the upstream base and sets the request target t byte for byte, however unusual: not
// normalised, not decoded, not re-encoded. Only scheme and host of base are used. req.Host, which must be set before,
// is the Host that the upstream sees.
//
// A path beginning with "//" that net/url would have to change goes out in absolute form, which every server must
// accept (RFC 9112 §3.2.2).
func SetTarget(req *http.Request, base *url.URL, t httpcache.Target) {
	u := &url.URL{
		Scheme:     httpScheme(base.Scheme),
		Host:       base.Host,
		RawQuery:   t.Query,
		ForceQuery: t.HasQuery,
	}
	setPath(u, req.Host, t.Path)
	req.URL = u
}

// setPath makes u.RequestURI begin with exactly raw. net/url writes Opaque unchanged, except that a leading "//" is
// taken for an authority.
func setPath(u *url.URL, host, raw string) {
	switch {
	case raw == "" || raw == "*":
		u.Path = raw // an empty path becomes "/" (RFC 9112 §3.2.1)
	case !strings.HasPrefix(raw, "//"):
		u.Opaque = raw
	default:
		if path, err := url.PathUnescape(raw); err == nil {
			u.Path, u.RawPath = path, raw
			if u.EscapedPath() == raw {
				return
			}
			u.Path, u.RawPath = "", ""
		}
		if host == "" {
			host = u.Host
		}
		u.Opaque = "//" + host + raw
	}
}

// httpScheme returns net/http's scheme for an upstream's scheme.
func httpScheme(s string) string {
	if s == "h2c" {
		return "http"
	}
	return s
}
