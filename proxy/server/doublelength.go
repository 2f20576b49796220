package server

import "bytes"

// lengthWatch looks for a Content-Length in what a client sends. A request that has one beside Transfer-Encoding is framed by
// the latter, and its connection must be closed after the answer (RFC 9112 §6.1): somebody on the way may have framed it by
// the former, and would take what follows for another's request. net/http frames it so and removes the field before anybody
// else sees it. The watch is wrong on the safe side: a line of a body, or of another request, counts too.
type lengthWatch struct {
	found bool
	at    int // how much of the name this line has begun with; negative: the line begins otherwise
}

const lengthField = "content-length"

// see takes the next bytes.
func (w *lengthWatch) see(b []byte) {
	for !w.found && len(b) > 0 {
		for w.at >= 0 && len(b) > 0 {
			c := b[0]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != lengthField[w.at] {
				w.at = -1
				break
			}
			b = b[1:]
			if w.at++; w.at == len(lengthField) {
				w.found = true
				return
			}
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return
		}
		b, w.at = b[end+1:], 0
	}
}
