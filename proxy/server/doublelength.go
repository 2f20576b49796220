package server

import "bytes"

// fieldWatch looks for a field in the bytes that a client sends. net/http removes these fields before a handler sees
// the request. fieldWatch is wrong on the safe side: a line of a body, or of another request, counts too.
//
// One watch looks for Content-Length. A request with Content-Length beside Transfer-Encoding is framed by
// Transfer-Encoding. The server must close its connection after the answer (RFC 9112 §6.1), because an intermediary
// may have framed the request by Content-Length, and would take the following bytes for another client's request. The
// other watch looks for Transfer-Encoding, which frames nothing in HTTP/1.0. The server must close such a connection
// as well.
type fieldWatch struct {
	name  string // in lower case
	found bool
	later bool // the bytes come after the first head, which an empty line ends
	at    int  // how much of the name this line has begun with; negative: the line begins otherwise
	empty bool // this line has nothing but a carriage return so far
}

const (
	lengthField = "content-length"
	codingField = "transfer-encoding"
)

// see takes the next bytes.
func (w *fieldWatch) see(b []byte) {
	for !w.found && len(b) > 0 {
		for w.at >= 0 && len(b) > 0 {
			c := b[0]
			switch {
			case w.at == 0 && !w.empty && c == '\r':
				w.empty = true
				b = b[1:]
				continue
			case w.at == 0 && c == '\n':
				w.later = true
			}
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if w.empty || c != w.name[w.at] {
				w.at = -1
				break
			}
			b = b[1:]
			if w.at++; w.at == len(w.name) {
				w.found = true
				return
			}
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return
		}
		b, w.at, w.empty = b[end+1:], 0, false
	}
}
