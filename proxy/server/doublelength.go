package server

import "bytes"

// fieldWatch looks for a field in what a client sends, which net/http removes before anybody else sees it. It is wrong on the safe
// side: a line of a body, or of another request, counts too.
//
// Of Content-Length: a request that has one beside Transfer-Encoding is framed by
// the latter, and its connection must be closed after the answer (RFC 9112 §6.1): somebody on the way may have framed it by
// the former, and would take what follows for another's request. Of Transfer-Encoding: in HTTP/1.0 it frames nothing, and its
// connection must be closed as well.
type fieldWatch struct {
	name  string // in lower case
	found bool
	later bool // what is seen comes after the first head, which an empty line ends
	at    int  // how much of the name this line has begun with; negative: the line begins otherwise
	empty bool // of this line there is nothing but a carriage return
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
