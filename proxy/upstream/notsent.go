package upstream

import "errors"

// NotSent reports whether an error of Send or Acquire says that nothing of the request was written to the
// upstream, which therefore cannot have acted on it: there was no place, no connection, or none on which a byte went out. In
// doubt the request was sent, and always where connections are shared by requests, as in HTTP/2. False for nil.
func NotSent(err error) bool {
	return errors.As(err, new(*notSentError))
}

// notSentError is the failure of a request of which nothing was written.
type notSentError struct {
	err  error
	over bool // the request must not be tried at another address: its context has ended, or it got no place
}

func (e *notSentError) Error() string { return e.err.Error() }

func (e *notSentError) Unwrap() error { return e.err }

// asSent strips the notSentError from the error of a last attempt, if an earlier attempt had sent something of the request.
func asSent(err error) error {
	if unsent, ok := err.(*notSentError); ok {
		return unsent.err
	}
	return err
}
