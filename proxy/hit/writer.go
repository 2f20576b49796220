package hit

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// outSize is how much of an answer is gathered before it is written, in bytes.
const outSize = 16 << 10

// heldBack is how many bytes of an answer net/http buffers. An answer that fits is sent by finish, when the Answerer has counted it, so that a client
// never sees an answer that is not counted yet; with net/http, that holds for the same answers.
const heldBack = 4 << 10

// writer writes an answer as net/http would, byte for byte. The header must say the length of the content.
type writer struct {
	to      io.Writer
	header  http.Header
	names   []string // of header, sorted
	out     []byte   // what is not written yet
	head    bool     // the answer is to a HEAD
	closes  bool     // the answer says Connection: close
	status  int      // 0: WriteHeader and BeginHead were not called yet
	length  int64    // of the content that has to be written, as the header says; 0: none
	written int64    // of the content
	err     error    // of writing
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
			continue // as net/http leaves them out
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

// endLines ends the head. net/http writes Connection: close after all other lines.
func (w *writer) endLines() {
	if w.closes {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
}

// BeginHead and EndHead take the place of WriteHeader. BeginHead returns a buffer that ends with the status line; the caller appends the lines of the
// header, in the order of their names.
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

// EndHead takes the buffer with the appended lines. length is the length of the content, whether or not the answer has to include it.
func (w *writer) EndHead(head []byte, length int) {
	w.out = head
	w.endLines()
	if !w.head && hasContent(w.status) {
		w.length = int64(length)
	}
}

// Write implements http.ResponseWriter. n counts bytes that were buffered or written to the connection.
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

// flush writes the buffer, and returns how many bytes of it the connection did not take.
func (w *writer) flush() (lost int) {
	if len(w.out) > 0 && w.err == nil {
		var taken int
		taken, w.err = w.to.Write(w.out)
		lost = len(w.out) - taken
	}
	w.out = w.out[:0]
	return lost
}

// finish sends what is left, and reports whether all of the answer was written.
func (w *writer) finish() bool {
	w.WriteHeader(http.StatusOK)
	w.flush()
	return w.err == nil && w.written == w.length
}

func hasContent(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
