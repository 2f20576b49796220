package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// RequestError says that a request cannot be written to any upstream because the request itself is malformed. No
// address has taken part. The client is to blame.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns the fault of the request.
func (e *RequestError) Unwrap() error { return e.Err }

// blamed returns err, the failure of req, or a *RequestError when req could not have been written.
func blamed(err error, req *http.Request) error {
	if checkMessage(req) == nil {
		return err
	}
	return &RequestError{err}
}

// checkMessage reports why net/http, over any version, and direct cannot write a request. Send calls checkMessage
// only after a failure, so that valid requests do not pay for it.
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
