package hit

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"unsafe"

	"cacheproxy/proxy/server"
)

// maxFields is how many fields the head of a request may have that is answered here. No browser sends as many.
const maxFields = 64

// head is a parsed request whose strings point into the buffer of its connection, or into names. They are valid until the buffer is read into again,
// and must not be kept.
//
// parse accepts fewer requests than net/http does, and only those that mean the same to every recipient: lines that end in CRLF, one Host, no
// content, nothing that changes the protocol. Everything else is Other, and left to net/http.
type head struct {
	r      http.Request
	lines  [maxFields]string
	called [maxFields]string // the field names of lines
	fields int               // how many of lines are used
	hosts  int               // how many Host fields there are
	names  []byte            // field names that were not sent in canonical case, in canonical case
	usual  bool              // Path.Answer may answer the request; false: it is well-formed, and left to net/http
	closes bool              // the client has sent Connection: close
	odd    bool              // net/http may refuse the target before it has read the fields
}

// parse parses the first request in sent. n is its length in bytes if it is Single.
func (h *head) parse(sent []byte) (n int, what server.Verdict) {
	h.fields, h.hosts, h.names, h.usual = 0, 0, h.names[:0], true
	h.odd, h.closes = false, false
	clear(h.r.Header)
	line, rest, what := cut(sent)
	if what != server.Single {
		if what == server.Incomplete && !beginsRequest(sent) {
			what = server.Other
		}
		return 0, what
	}
	if !h.requestLine(line) {
		return 0, server.Other
	}
	for {
		if line, rest, what = cut(rest); what != server.Single {
			if h.odd {
				what = server.Other
			}
			return 0, what
		}
		if len(line) == 0 {
			break
		}
		if !h.field(line) {
			return 0, server.Other
		}
	}
	if h.hosts != 1 {
		return 0, server.Other
	}
	return len(sent) - len(rest), server.Single
}

// cut splits off the first line. what is Single if the line is complete.
func cut(b []byte) (line, rest []byte, what server.Verdict) {
	end := bytes.IndexByte(b, '\n')
	switch {
	case end < 0:
		return nil, nil, server.Incomplete
	case end == 0 || b[end-1] != '\r':
		return nil, nil, server.Other // recipients disagree on whether a bare LF ends a line
	}
	return b[:end-1], b[end+1:], server.Single
}

// beginsRequest reports whether an incomplete line begins with a method, or a part of one. Anything else net/http answers before the line is complete.
func beginsRequest(b []byte) bool {
	for i, c := range b {
		if c == ' ' {
			return i > 0
		}
		if c < 'A' || c > 'Z' || i >= longestMethod {
			return false
		}
	}
	return true
}

const (
	longestMethod = 16
	version       = " HTTP/1.1"
)

// requestLine reads the method and the target (RFC 9112 §3).
func (h *head) requestLine(line []byte) bool {
	space := bytes.IndexByte(line[:min(len(line), longestMethod+1)], ' ')
	if space < 1 || !beginsRequest(line) || len(line) < space+1+len("/")+len(version) || string(line[len(line)-len(version):]) != version {
		return false
	}
	target := line[space+1 : len(line)-len(version)]
	path := true
	for i := 0; i < len(target); i++ {
		switch kinds[target[i]] & (ofTarget | visible) {
		case 0:
			return false // some recipients would end the target at a space
		case visible:
			h.odd = true
			continue
		}
		switch target[i] {
		case '?':
			path = false
		case '%':
			if path && !(i+2 < len(target) && kinds[target[i+1]]&hexadecimal != 0 && kinds[target[i+2]]&hexadecimal != 0) {
				h.odd = true
			}
		}
	}
	switch method := line[:space]; string(method) {
	case http.MethodGet:
		h.r.Method = http.MethodGet
	case http.MethodHead:
		h.r.Method = http.MethodHead
	case http.MethodConnect:
		return false // the bytes after a CONNECT are not a request
	default:
		h.usual = false
	}
	h.odd = h.odd || target[0] != '/'
	h.usual = h.usual && !h.odd
	h.r.RequestURI = text(target)
	return true
}

// field reads one field (RFC 9112 §5).
func (h *head) field(line []byte) bool {
	colon, upper, canonical := 0, true, true
	for ; colon < len(line) && line[colon] != ':'; colon++ {
		kind := kinds[line[colon]]
		if kind&ofToken == 0 {
			return false // also a space: before the colon, or at the beginning of a line, where it folds the line before
		}
		if upper && kind&lowerCase != 0 || !upper && kind&upperCase != 0 {
			canonical = false
		}
		upper = line[colon] == '-'
	}
	if colon == 0 || colon == len(line) {
		return false
	}
	name, value := line[:colon], trim(line[colon+1:])
	if !clean(value) {
		return false
	}
	if !canonical {
		name = h.canonical(name)
	}
	return h.add(text(name), value)
}

// add adds a field to the request. It reports false if the field makes the request one that is left to net/http unread.
func (h *head) add(name string, value []byte) bool {
	switch name {
	case "Host":
		h.hosts++
		h.r.Host = text(value)
		return h.hosts == 1 && len(value) > 0 && named(value)
	case "Content-Length", "Transfer-Encoding", "Upgrade", "Expect", "Trailer", "Http2-Settings":
		return false
	case "Connection":
		if !bytes.EqualFold(value, []byte("keep-alive")) {
			h.closes = bytes.EqualFold(value, []byte("close"))
			if !h.closes {
				return false
			}
		}
	case "Range", "If-Range", "Pragma", "Keep-Alive", "Proxy-Connection": // parts; what net/http reads as Cache-Control; of HTTP/1.0
		h.usual = false
	}
	if h.fields == len(h.lines) {
		h.usual = false
		return true
	}
	n := h.fields
	h.lines[n], h.called[n] = text(value), name
	h.fields++
	for _, before := range h.called[:n] { // cheaper than looking into the map, since names are few and mostly differ in length
		if before == name {
			h.r.Header[name] = append(slices.Clone(h.r.Header[name]), text(value))
			return true
		}
	}
	h.r.Header[name] = h.lines[n:h.fields:h.fields]
	return true
}

// canonical returns a name in canonical case, in the memory of names.
func (h *head) canonical(name []byte) []byte {
	from, upper := len(h.names), true
	if cap(h.names)-from < len(name) {
		h.names, from = make([]byte, 0, 2*cap(h.names)+len(name)), 0 // earlier names keep referring to the old array
	}
	for _, c := range name {
		switch kind := kinds[c]; {
		case upper && kind&lowerCase != 0:
			c -= 'a' - 'A'
		case !upper && kind&upperCase != 0:
			c += 'a' - 'A'
		}
		h.names = append(h.names, c)
		upper = c == '-'
	}
	return h.names[from:]
}

// trim takes off the white space around a value.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// clean reports whether a value has no control character but tabs (RFC 9110 §5.5).
func clean(b []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		del := x ^ 0x7f*each
		if ((x-0x20*each)&^x|(del-each)&^del)&high != 0 && !cleanBytes(b[:8]) {
			return false
		}
	}
	return cleanBytes(b)
}

func cleanBytes(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// named reports whether a Host is a name or an IPv4 address, with or without a port. Others are left to net/http.
func named(b []byte) bool {
	for _, c := range b {
		if kinds[c]&ofHost == 0 {
			return false
		}
	}
	return true
}

// text is b as a string, for as long as b is not written to.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// kind is what a byte may be part of.
type kind uint8

const (
	ofToken     kind = 1 << iota // RFC 9110 §5.6.2
	upperCase                    // letters
	lowerCase                    // letters
	hexadecimal                  // digits
	ofTarget                     // an origin-form that needs no second look: RFC 3986 §3.3, §3.4
	visible                      // or beyond ASCII
	ofHost                       // see named
)

var kinds = func() (k [256]kind) {
	set := func(what kind, all string) {
		for _, c := range []byte(all) {
			k[c] |= what
		}
	}
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	set(lowerCase, lower)
	set(upperCase, upper)
	set(ofToken, lower+upper+digits+"!#$%&'*+-.^_`|~")
	set(hexadecimal, digits+"abcdefABCDEF")
	set(ofTarget, lower+upper+digits+"-._~!$&'()*+,;=:@/?%")
	set(ofHost, lower+upper+digits+"-._:")
	for c := range k {
		if c > ' ' && c != 0x7f {
			k[c] |= visible
		}
	}
	return k
}()
