package httpcache

import (
	"net/http"
	"net/netip"
	"strings"
)

// ForwardedScheme is the scheme of the user's request, as proxies report it: the first value of X-Forwarded-Proto, else
// of Forwarded (RFC 7239 §5.4). The first value comes from the proxy closest to the user. Empty: proxies report none,
// or neither http nor https.
func ForwardedScheme(h http.Header) string {
	said := h["X-Forwarded-Proto"]
	if len(said) > 0 {
		said = strings.SplitN(said[0], ",", 2)
	} else {
		said = forwardedBy(h["Forwarded"], "proto")
	}
	if len(said) == 0 {
		return ""
	}
	switch scheme := strings.ToLower(strings.TrimSpace(said[0])); scheme {
	case "http", "https":
		return scheme
	}
	return ""
}

// ForwardedFor are the addresses for which the proxies on the way report to have forwarded, the last proxy last: from
// X-Forwarded-For, else from Forwarded (RFC 7239 §5.2). The zero Addr stands for an unknown one.
func ForwardedFor(h http.Header) (hops []netip.Addr) {
	said := h["X-Forwarded-For"]
	if len(said) > 0 {
		said = strings.Split(strings.Join(said, ","), ",")
	} else {
		said = forwardedBy(h["Forwarded"], "for")
	}
	for _, hop := range said {
		hops = append(hops, nodeAddr(strings.TrimSpace(hop)))
	}
	return hops
}

// nodeAddr is the address of a node, which may be in brackets or have a port (RFC 7239 §6).
func nodeAddr(node string) netip.Addr {
	addr, err := netip.ParseAddr(strings.Trim(node, "[]"))
	if err != nil {
		withPort, _ := netip.ParseAddrPort(node) // the zero Addr where node is no address
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone("")
}

// forwardedBy is the value of a parameter in each element of Forwarded; empty where an element lacks the parameter (RFC
// 7239 §4).
func forwardedBy(lines []string, parameter string) (values []string) {
	if len(lines) == 0 {
		return nil
	}
	for _, element := range splitUnquoted(Combined(lines), ',') {
		value := ""
		for _, pair := range splitUnquoted(element, ';') {
			if name, v, ok := strings.Cut(pair, "="); ok && strings.EqualFold(strings.TrimSpace(name), parameter) {
				value = unquote(strings.TrimSpace(v))
			}
		}
		values = append(values, value)
	}
	return values
}

// splitUnquoted splits at every separator outside of quoted-strings (RFC 9110 §5.6.4).
func splitUnquoted(s string, separator byte) (parts []string) {
	quoted, begin := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == separator && !quoted:
			parts, begin = append(parts, s[begin:i]), i+1
		}
	}
	return append(parts, s[begin:])
}

// unquote is the text that a token or a quoted-string stands for.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
