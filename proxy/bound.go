package proxy

import (
	"errors"
	"net/http"
	"os"

	"cacheproxy/policy"
)

// boundBody keeps a request's body within the limit. It reports false when the body says itself that it is too large.
func (ex *exchange) boundBody() bool {
	limit := ex.cfg.MaxBody
	if limit <= 0 || ex.r.ContentLength == 0 || ex.r.Body == nil {
		return true
	}
	if ex.r.ContentLength > limit {
		ex.refuse(http.StatusRequestEntityTooLarge, policy.TooLarge, bodyTooLarge)
		return false
	}
	ex.r.Body = http.MaxBytesReader(ex.w.ResponseWriter, ex.r.Body, limit)
	return true
}

const bodyTooLarge = "the request body is larger than allowed"

// bodyFailure is what a client is told whose request body could not be read.
func bodyFailure(err error) (status int, text string) {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return http.StatusRequestEntityTooLarge, bodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, "the request body did not come any further"
	default:
		return http.StatusBadRequest, "the request body broke off or is malformed"
	}
}
