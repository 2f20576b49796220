package hit

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"unsafe"

	"cacheproxy/proxy/server"
)

// maxFields bounds the fields of a head that is answered here. No browser sends as many.
const maxFields = 64

// head is a request as it lies in the buffer of its connection. Its texts are parts of that buffer, or of names. They
// hold until the next read into the buffer, so nobody may keep one.
//
// parse accepts fewer heads than net/http does. A head that parse accepts means the same to net/http and to every
// other recipient: one way to end a line, one Host, no content, nothing that changes the protocol. For all other
// heads the verdict is Other, and net/http decides what they are.
type head struct {
	r      http.Request
	lines  [maxFields]string
	called [maxFields]string // the names of lines
	fields int               // number of entries in use in lines and called
	hosts  int
	names  []byte // buffer of the names that the client did not write in canonical case
	usual  bool   // no part of the head is left to net/http to answer
	closes bool   // the client wants the connection to end with the answer
	odd    bool   // the target is unusual: net/http may refuse the request before it has read the fields
}

// parse reads the first request in sent. n is the length of its head when the verdict is Single.
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

// cut takes the first line off b. The verdict is Single when the line is whole.
func cut(b []byte) (line, rest []byte, what server.Verdict) {
	end := bytes.IndexByte(b, '\n')
	switch {
	case end < 0:
		return nil, nil, server.Incomplete
	case end == 0 || b[end-1] != '\r':
		return nil, nil, server.Other // other recipients end this line elsewhere
	}
	return b[:end-1], b[end+1:], server.Single
}

// beginsRequest reports whether b, which has no end of line yet, begins with a method or a part of one. net/http
// answers any other beginning before more of the head comes.
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
			return false // some recipients would take a space for the end of the target
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
		return false // the bytes behind the head are no request
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
			return false // a space in a name: before the colon, or at the beginning, where the line continues the line above
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

// add takes over a field. It reports false when the field makes the request one that this package does not read.
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
	case "Range", "If-Range", "Pragma", "Keep-Alive", "Proxy-Connection": // parts; Cache-Control by another name; HTTP/1.0
		h.usual = false
	}
	if h.fields == len(h.lines) {
		h.usual = false
		return true
	}
	n := h.fields
	h.lines[n], h.called[n] = text(value), name
	h.fields++
	for _, before := range h.called[:n] { // the names are few and of different lengths: cheaper than a look into the map
		if before == name {
			h.r.Header[name] = append(slices.Clone(h.r.Header[name]), text(value))
			return true
		}
	}
	h.r.Header[name] = h.lines[n:h.fields:h.fields]
	return true
}

// canonical returns name in canonical case, in memory of h.names.
func (h *head) canonical(name []byte) []byte {
	from, upper := len(h.names), true
	if cap(h.names)-from < len(name) {
		h.names, from = make([]byte, 0, 2*cap(h.names)+len(name)), 0 // texts keep the array before
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

// named reports whether a Host is a name or an IPv4 address, with or without a port. Any other Host is for net/http
// to judge.
func named(b []byte) bool {
	for _, c := range b {
		if kinds[c]&ofHost == 0 {
			return false
		}
	}
	return true
}

// text returns b as a string, which holds as long as nobody writes to b.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// kind is a set of the parts of a request that a byte may stand in.
type kind uint8

const (
	ofToken     kind = 1 << iota // RFC 9110 §5.6.2
	upperCase                    // letters
	lowerCase                    // letters
	hexadecimal                  // digits
	ofTarget                     // an origin-form that needs no further check: RFC 3986 §3.3, §3.4
	visible                      // visible in ASCII, or beyond ASCII
	ofHost                       // the bytes that named accepts
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
