package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// problem is an error answer that tells the caller what to change.
type problem struct {
	status  int
	text    string
	header  http.Header
	refusal string // one of Refusals where the caller was refused; empty: the call is at fault
}

// Error implements error.
func (p *problem) Error() string { return p.text }

func problemf(status int, format string, args ...any) *problem {
	return &problem{status: status, text: fmt.Sprintf(format, args...), header: http.Header{}}
}

func badRequest(err error) error { return problemf(http.StatusBadRequest, "%v", err) }

func refusalf(status int, refusal, format string, args ...any) *problem {
	p := problemf(status, format, args...)
	p.refusal = refusal
	return p
}

// answer records the status of the response. http.ResponseController finds the server's writer through Unwrap.
type answer struct {
	http.ResponseWriter
	status int      // zero: nothing was sent
	unread *tracked // the body of the call; nil: none
	closes bool     // the connection closes if part of the body is unread
}

// tracked is a body that records whether all of it was read.
type tracked struct {
	io.ReadCloser
	ended bool
}

// Read implements io.Reader.
func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.ended = t.ended || errors.Is(err, io.EOF)
	return n, err
}

func problemNotAllowed(path string, methods []string) *problem {
	allow := strings.Join(methods, ", ")
	p := problemf(http.StatusMethodNotAllowed, "%s takes %s", shorten(path), allow)
	p.header.Set("Allow", allow)
	return p
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
		if a.closes && !a.unread.ended {
			// Nobody will read the rest of the body. Closing the connection saves waiting for it (RFC 9112 §9.3, §9.6).
			a.Header().Set("Connection", "close")
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// problemOf makes an answer of an error. An error without a status of its own is a defect of this program: 500.
func problemOf(err error) *problem {
	if p, is := errors.AsType[*problem](err); is {
		return p
	}
	if tooLarge, is := errors.AsType[*http.MaxBytesError](err); is {
		return problemf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", tooLarge.Limit)
	}
	return problemf(http.StatusInternalServerError, "%v", err)
}

func (p *problem) write(w http.ResponseWriter, f form) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	if err := writeJSON(w, p.status, f.problem(p.status, p.text)); err != nil {
		http.Error(w, p.text, p.status)
	}
}

// writeJSON answers with a value. When the value has no JSON form, writeJSON fails without having written anything.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	// A failed write has no one to report to: the client is gone.
	_, _ = w.Write([]byte(b.String()))
	return nil
}

// shorten keeps a client's text from filling a log line or an answer.
func shorten(s string) string {
	const limit = 256
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
