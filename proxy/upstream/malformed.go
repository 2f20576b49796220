package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// RequestError says that a request cannot be written to any upstream because of its own contents. It says nothing about the address.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with the request.
func (e *RequestError) Unwrap() error { return e.Err }

// blamed is err, the error of sending a request, or a *RequestError if the request could not have been written to any upstream.
func blamed(err error, req *http.Request) error {
	if checkMessage(req) == nil {
		return err
	}
	return &RequestError{err}
}

// checkMessage reports why net/http, over any version, and direct cannot write a request. It is called only after sending has failed, so that other
// requests pay nothing for it.
func checkMessage(req *http.Request) error {
	if err := checkRequest(req); err != nil {
		return err
	}
	for name := range req.Trailer {
		switch http.CanonicalHeaderKey(name) {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return fmt.Errorf("write request: Trailer must not name %s", name)
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("write request: invalid name %q of a trailer field", name)
		}
	}
	if !httpguts.ValidHostHeader(req.Host) {
		return errors.New("write request: invalid Host")
	}
	if strings.ContainsFunc(req.URL.RequestURI(), func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return errors.New("write request: control character in the target")
	}
	return nil
}
