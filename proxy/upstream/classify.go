package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"

	"cacheproxy/policy"
)

// errTimeout means that the upstream kept the proxy waiting longer than Options.Timeout before its response header.
var errTimeout = errors.New("the upstream did not answer in time")

// errStalled means that the upstream paused in the middle of its response's body for longer than Options.ReadTimeout.
var errStalled = errors.New("the upstream stopped in the middle of its response")

// RequestBodyError is a failure to read the request's own body: the client broke off, sent malformed framing or
// exceeded a limit. The upstream is not to blame.
type RequestBodyError struct{ Err error }

func (e *RequestBodyError) Error() string { return "read request body: " + e.Err.Error() }

// Unwrap returns what the body's reader said, such as an *http.MaxBytesError.
func (e *RequestBodyError) Unwrap() error { return e.Err }

// StatusClientGone is never sent: it stands in logs for a client that left before it was answered.
const StatusClientGone = 499

// Classify returns the reason for an error of Acquire, of Send, or of reading a response's body: QueueFull, QueueTimeout, OriginTimeout, OriginError or
// ClientGone of package policy. *RequestBodyError and *RequestError are ClientGone too. NoReason for nil.
func Classify(err error) policy.Reason {
	if err == nil {
		return policy.NoReason
	}
	var timeout net.Error
	switch {
	case errors.Is(err, errQueueFull), errors.Is(err, errStreamsFull), errors.Is(err, errClientStreams), errors.Is(err, errUntaken):
		return policy.QueueFull
	case errors.Is(err, errQueueTimeout):
		return policy.QueueTimeout
	case errors.Is(err, errTimeout), errors.Is(err, errStalled), errors.Is(err, context.DeadlineExceeded):
		return policy.OriginTimeout
	case errors.Is(err, context.Canceled), errors.As(err, new(*RequestBodyError)), errors.As(err, new(*RequestError)):
		return policy.ClientGone
	case errors.As(err, &timeout) && timeout.Timeout():
		return policy.OriginTimeout
	default:
		return policy.OriginError
	}
}

// Status is the status with which the proxy answers for a reason that Classify gives (RFC 9110 §15.6): 502, 503 or 504.
// For ClientGone it is StatusClientGone, which is for logs only.
func Status(r policy.Reason) int {
	switch r {
	case policy.OriginTimeout:
		return http.StatusGatewayTimeout
	case policy.QueueFull, policy.QueueTimeout:
		return http.StatusServiceUnavailable
	case policy.ClientGone:
		return StatusClientGone
	default:
		return http.StatusBadGateway
	}
}

// ClientsShare reports whether a request was refused because its client has as many streams as one client may have.
func ClientsShare(err error) bool { return errors.Is(err, errClientStreams) }
