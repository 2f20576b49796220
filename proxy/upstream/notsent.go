package upstream

import "errors"

// NotSent reports whether an error of Send or Acquire says that nothing of the request was written to the upstream,
// so that the upstream cannot have acted on the request. Either no place or no connection was found, or no byte went
// out. In doubt the request counts as sent, and always on connections that requests share, as in HTTP/2. NotSent is
// false for nil.
func NotSent(err error) bool {
	return errors.As(err, new(*notSentError))
}

// notSentError is the failure of a request of which nothing was written.
type notSentError struct {
	err  error
	over bool // nobody waits for the answer of the request any more
}

func (e *notSentError) Error() string { return e.err.Error() }

func (e *notSentError) Unwrap() error { return e.err }

// asSent returns err without its notSentError, for a request of which an earlier attempt had sent something.
func asSent(err error) error {
	if unsent, ok := err.(*notSentError); ok {
		return unsent.err
	}
	return err
}
