package httpcache

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// pseudonym is the name of this proxy in Via and Cache-Status.
const pseudonym = "cacheproxy"

// Forward sets the fields of h that tell the origin who sent the request, and how: X-Forwarded-For, -Host and -Proto,
// and Forwarded (RFC 7239). Fields of that kind from a client are replaced, unless the client is a trusted proxy. The
// Host and Proto of a trusted proxy stay, since a proxy before this one was closer to the user. This hop is then added
// to X-Forwarded-For and Forwarded.
//
// scheme is "http" or "https". host is the unchanged Host field; Forward leaves an empty host out. Forward also leaves
// out the zero clientAddr: a shared fill must not tell the origin which client asked first.
func Forward(h http.Header, clientAddr netip.Addr, scheme, host string, trusted bool) {
	if !trusted {
		StripForwarded(h)
	}
	for name := range h {
		if strings.Contains(name, "_") && ownName(dashed(name)) {
			delete(h, name)
		}
	}
	clientAddr = clientAddr.Unmap().WithZone("")
	if clientAddr.IsValid() {
		extend(h, "X-Forwarded-For", clientAddr.String())
	}
	said := []string{host, scheme} // one array for both
	if len(h["X-Forwarded-Host"]) == 0 && host != "" {
		h["X-Forwarded-Host"] = said[:1:1]
	}
	if len(h["X-Forwarded-Proto"]) == 0 {
		h["X-Forwarded-Proto"] = said[1:]
	}
	extend(h, "Forwarded", forwardedElement(clientAddr, scheme, host))
}

// ownName reports whether this proxy sets a field itself, or whether the field frames or describes the message, which
// every hop decides anew. A client must not send such a field in another spelling: servers that hand requests on by the
// rules of CGI (RFC 3875 §4.1.18) take both spellings for one field, and may use the wrong value. Some trusted proxies
// do not replace the other spelling, and then pass on the value of their client.
func ownName(name string) bool {
	switch name {
	case "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "Surrogate-Capability":
		return true
	}
	return hopByHop[name] || strings.HasPrefix(name, "Content-")
}

// StripForwarded removes the fields in which a client tells the way of its request, and reports whether there were any.
func StripForwarded(h http.Header) bool {
	before := len(h)
	for name := range h {
		if SaysWay(name) {
			delete(h, name)
		}
	}
	return len(h) < before
}

// SaysWay reports whether a field is one in which proxies tell for whom they forward. name is in canonical form, but
// may have "_" in place of "-".
func SaysWay(name string) bool {
	if name == "Forwarded" || name == "X-Forwarded" || name == "X_forwarded" {
		return true
	}
	const family = "X-Forwarded-"
	if !strings.Contains(name, "_") {
		return strings.HasPrefix(name, family)
	}
	return strings.HasPrefix(dashed(name), family)
}

// forwardedElement is one hop in Forwarded (RFC 7239 §4). An IPv6 address is in brackets, and so must be quoted (§6).
func forwardedElement(addr netip.Addr, scheme, host string) string {
	var buf [128]byte
	element := buf[:0]
	switch {
	case addr.Is4():
		element = append(addr.AppendTo(append(element, "for="...)), ';')
	case addr.Is6():
		element = append(addr.AppendTo(append(element, `for="[`...)), `]";`...)
	}
	if quoted, ok := tokenOrQuoted(host); ok {
		element = append(append(append(element, "host="...), quoted...), ';')
	}
	return string(append(append(element, "proto="...), scheme...))
}

// tokenOrQuoted writes s as a token where s is one, else as a quoted-string (RFC 9110 §5.6.4). ok is false for an empty
// s, and for bytes that neither can hold.
func tokenOrQuoted(s string) (string, bool) {
	if isToken(s) {
		return s, true
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			return "", false
		}
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String(), s != ""
}

// extend adds an element to a list field, as one line.
func extend(h http.Header, name, element string) {
	if lines := h[name]; len(lines) > 0 {
		element = Combined(lines) + ", " + element
	}
	h[name] = []string{element}
}

// AppendVia adds this proxy to Via, with the protocol version in which this proxy received the message (RFC 9110
// §7.6.3).
func AppendVia(h http.Header, protoMajor, protoMinor int) {
	element := "1.1 " + pseudonym
	if protoMajor != 1 || protoMinor != 1 {
		element = strconv.Itoa(protoMajor) + "." + strconv.Itoa(protoMinor) + " " + pseudonym
	}
	extend(h, "Via", element)
}

// ViaHops counts how often Via names this proxy, or another of its name (RFC 9110 §7.6.3). Many hops mean that the
// request runs in a loop. One hop does not: several instances in a row are legitimate.
func ViaHops(h http.Header) int {
	hops := 0
	for _, line := range h["Via"] {
		for hop := range strings.SplitSeq(withoutComments(line), ",") {
			if fields := strings.Fields(hop); len(fields) >= 2 && strings.EqualFold(fields[1], pseudonym) {
				hops++
			}
		}
	}
	return hops
}

// withoutComments removes comments, which may nest and contain commas (RFC 9110 §5.6.5).
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}
