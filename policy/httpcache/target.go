package httpcache

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Target is a request target in its parts, without any decoding (RFC 9112 §3.2).
type Target struct {
	Scheme   string // "http" or "https": of the client's connection
	Host     string // in canonical form: see ParseTarget
	Path     string // raw, begins with "/" ("*" for OPTIONS *)
	Query    string // raw, without "?"
	HasQuery bool   // the target has "?", perhaps with nothing behind it
}

// ParseTarget splits a request target. scheme is that of the client's connection, and host is the Host field.
// requestURI is the origin-form, the absolute-form, whose host then replaces the field's (RFC 9112 §3.2.2), or "*". The
// scheme of an absolute-form must be valid, but does not count. Keys, forwarded requests and purges use the canonical
// form of the host: without the dot of the root (RFC 1034 §3.1) and without the default port of the scheme (RFC 9110
// §4.2.3). Nothing is decoded. An empty path becomes "/" (RFC 9110 §4.2.3).
func ParseTarget(scheme, host, requestURI string) (Target, error) {
	t := Target{Scheme: scheme, Host: oneHost(scheme, host)}
	if i := strings.IndexFunc(requestURI, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }); i >= 0 {
		return Target{}, fmt.Errorf("parse request target: byte %#02x is not allowed", requestURI[i])
	}
	if !validHost(host) {
		return Target{}, errors.New("parse request target: Host is not a host with an optional port")
	}
	switch {
	case requestURI == "*":
		t.Path = "*"
		return t, nil
	case requestURI == "":
		return Target{}, errors.New("parse request target: it is empty")
	case requestURI[0] != '/':
		rest, err := t.cutAuthority(requestURI)
		if err != nil {
			return Target{}, err
		}
		requestURI = rest
	}
	t.Path, t.Query, t.HasQuery = strings.Cut(requestURI, "?")
	if t.Path == "" {
		t.Path = "/"
	}
	return t, nil
}

// cutAuthority sets the host from an absolute-form, and returns the path and query.
func (t *Target) cutAuthority(uri string) (string, error) {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "", errors.New("parse request target: want a path, or a URI of http or https")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if authority == "" || !validHost(authority) {
		return "", errors.New("parse request target: want a host, and no user information, in the URI")
	}
	t.Host = oneHost(t.Scheme, authority)
	return rest[end:], nil
}

// validHost reports whether s is a uri-host with an optional port (RFC 9110 §7.2, RFC 3986 §3.2.2), or empty, as for a
// target without an authority. The proxy repeats the host to the origin and in links, and net/http checks its bytes
// only in HTTP/1.1, not in HTTP/2.
func validHost(s string) bool {
	name, port, colon := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 2 || !literalBytes.all(s[1:end]) || !isLiteral(s[1:end]) {
			return false
		}
		name, port = "", s[end+1:]
		if port != "" && port[0] != ':' {
			return false
		}
		port, colon = strings.TrimPrefix(port, ":"), port != ""
	} else {
		name, port, colon = strings.Cut(s, ":")
	}
	number, ok := parsePosition(port)
	if strings.HasSuffix(strings.TrimSuffix("."+name, "."), ".") && name != "" {
		return false // no name before the dot of the root
	}
	return (port == "" || ok && number <= 65535 && len(port) <= 5) && hostBytes.all(name) && escaped(name) && (name != "" || !colon || s[0] == '[')
}

// escaped reports whether each percent sign in s begins an escape (RFC 3986 §2.1).
func escaped(s string) bool {
	const hexadecimal = "0123456789abcdefABCDEF"
	for i := range len(s) {
		if s[i] == '%' && !(i+2 < len(s) && strings.IndexByte(hexadecimal, s[i+1]) >= 0 && strings.IndexByte(hexadecimal, s[i+2]) >= 0) {
			return false
		}
	}
	return true
}

// isLiteral reports whether s is an address that must stand in brackets: of version 6, with or without a zone, or of a
// future version (RFC 3986 §3.2.2).
func isLiteral(s string) bool {
	if s[0]|0x20 == 'v' {
		version, address, dotted := strings.Cut(s[1:], ".")
		return dotted && version != "" && address != "" && strings.Trim(version, "0123456789abcdefABCDEF") == "" && !strings.Contains(address, "%")
	}
	address, zone, zoned := strings.Cut(s, "%")
	addr, err := netip.ParseAddr(address)
	return err == nil && addr.Is6() && (!zoned || zone != "")
}

// oneHost is the canonical form of a valid host with an optional port.
func oneHost(scheme, host string) string {
	name := HostOnly(host)
	port := host[len(name):]
	switch {
	case port == ":", scheme == "http" && port == ":80", scheme == "https" && port == ":443":
		port = ""
	}
	if rooted := strings.TrimSuffix(name, "."); rooted != name || len(rooted)+len(port) != len(host) {
		return rooted + port
	}
	return host
}

// String is path and query, byte for byte as the client sent them.
func (t Target) String() string {
	if !t.HasQuery {
		return t.Path
	}
	return t.Path + "?" + t.Query
}

// WithQuery is t with the forwarded query. If all parameters were dropped, the question mark goes too, so that the
// request equals the one without a query.
func (t Target) WithQuery(forwarded string) Target {
	t.HasQuery = t.HasQuery && (forwarded != "" || t.Query == "")
	t.Query = forwarded
	return t
}

// HostOnly is host without its port. An IPv6 address keeps its brackets.
func HostOnly(host string) string {
	if strings.HasPrefix(host, "[") {
		return host[:strings.IndexByte(host, ']')+1]
	}
	name, _, _ := strings.Cut(host, ":")
	return name
}
