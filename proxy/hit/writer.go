package hit

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// outSize bounds how much of an answer is gathered before a write to the connection, in bytes.
const outSize = 16 << 10

// heldBack is how much of an answer net/http gathers, in bytes. An answer that fits is sent when its handler has
// returned, and so has counted the answer before the client has its end. The client of a longer answer may have its
// end earlier.
const heldBack = 4 << 10

// writer writes an answer as net/http would, byte for byte. The header always names the length of the content.
type writer struct {
	to      io.Writer
	header  http.Header
	names   []string // the names in header, sorted
	out     []byte   // gathered, not written yet
	head    bool     // the request is a HEAD
	closes  bool     // the answer says that the connection ends with it
	status  int      // 0: the head has not begun
	length  int64    // of the content, as the header says; 0: no content follows
	written int64    // bytes of content that Write has taken
	err     error    // the first error of a write; nothing is written after it
}

func (w *writer) begin(to io.Writer, method string, closes bool) {
	clear(w.header)
	w.to, w.out, w.head, w.closes = to, w.out[:0], method == http.MethodHead, closes
	w.status, w.length, w.written, w.err = 0, 0, 0, nil
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.out = w.BeginHead(status)
	empty := w.head || !hasContent(status)
	w.names = w.names[:0]
	for name := range w.header {
		w.names = append(w.names, name)
	}
	slices.Sort(w.names)
	for _, name := range w.names {
		if !hasContent(status) && (name == "Content-Length" || status == http.StatusNotModified && name == "Content-Type") {
			continue // net/http leaves these fields out
		}
		for _, line := range w.header[name] {
			w.out = append(append(w.out, name...), ": "...)
			w.out = append(append(w.out, line...), "\r\n"...)
		}
	}
	if lines := w.header["Content-Length"]; !empty && len(lines) > 0 {
		w.length, _ = strconv.ParseInt(lines[0], 10, 64)
	}
	if len(w.header["Date"]) == 0 {
		w.out = append(w.out, "Date: "...)
		w.out = append(time.Now().UTC().AppendFormat(w.out, http.TimeFormat), "\r\n"...)
	}
	w.endLines()
}

// endLines ends the head. Connection: close is the one line that net/http writes behind all others.
func (w *writer) endLines() {
	if w.closes {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
}

// BeginHead begins the head of an answer. The caller appends the lines, in the order of their names, and calls
// EndHead. Both together take the place of WriteHeader.
func (w *writer) BeginHead(status int) []byte {
	w.status = status
	out := append(strconv.AppendInt(append(w.out, "HTTP/1.1 "...), int64(status), 10), ' ')
	if phrase := http.StatusText(status); phrase != "" {
		out = append(out, phrase...)
	} else {
		out = strconv.AppendInt(append(out, "status code "...), int64(status), 10)
	}
	return append(out, "\r\n"...)
}

// EndHead takes the head with its lines. length is how much content follows if the answer may have content.
func (w *writer) EndHead(head []byte, length int) {
	w.out = head
	w.endLines()
	if !w.head && hasContent(w.status) {
		w.length = int64(length)
	}
}

// Write implements http.ResponseWriter. It returns how many bytes of p were gathered or taken by the connection.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.err != nil {
		return 0, w.err
	}
	if w.written += int64(len(p)); w.written > w.length {
		w.err = http.ErrContentLength
		return 0, w.err
	}
	n := copy(w.out[len(w.out):cap(w.out)], p)
	w.out = w.out[:len(w.out)+n]
	whole := w.written == w.length
	if n == len(p) && (!whole || len(w.out) <= heldBack) {
		return n, nil
	}
	if lost := w.flush(); w.err != nil {
		return max(0, n-lost), w.err
	}
	rest := p[n:]
	switch {
	case len(rest) == 0:
	case !whole && len(rest) < cap(w.out):
		w.out = append(w.out, rest...)
	default:
		var taken int
		taken, w.err = w.to.Write(rest)
		return n + taken, w.err
	}
	return len(p), nil
}

// flush writes the gathered bytes, and returns how many of them the connection did not take.
func (w *writer) flush() (lost int) {
	if len(w.out) > 0 && w.err == nil {
		var taken int
		taken, w.err = w.to.Write(w.out)
		lost = len(w.out) - taken
	}
	w.out = w.out[:0]
	return lost
}

// finish sends the rest, and reports whether all of the answer was written.
func (w *writer) finish() bool {
	w.WriteHeader(http.StatusOK)
	w.flush()
	return w.err == nil && w.written == w.length
}

func hasContent(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
