package server

import "bytes"

// fieldWatch looks for a header field in the bytes that a client sends, since net/http removes the field before a handler sees it. It errs on the
// safe side: a line of a body, or of another request, counts too.
//
// Content-Length: a request with both Content-Length and Transfer-Encoding is framed by the latter, and its connection must be closed after the
// answer (RFC 9112 §6.1), since an intermediary may have framed it by the former, and would take the rest for another request. Transfer-Encoding: in
// HTTP/1.0 it frames nothing, and the connection must be closed as well.
type fieldWatch struct {
	name  string // in lower case
	found bool
	later bool // an empty line has been seen: the bytes come after the first head
	at    int  // how many bytes of the name the current line has matched; negative: the line does not match
	empty bool // the current line so far is only a carriage return
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
