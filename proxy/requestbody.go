package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
)

// collected is up to which length a request's body is received before anything is asked of the origin, in bytes: a client
// that sends slowly then holds none of the places there.
const collected = 16 << 10

// receive keeps a request's body within the limit and takes in a short one, and the question of a read that carries it there.
// The refusal is nil where the request may go on.
func (ex *exchange) receive() *refusal {
	r, limit := ex.r, ex.cfg.MaxBody
	there := r.ContentLength != 0 && r.Body != nil
	silent := server.Silent(r) && ex.route.Origin.Converses()
	if there && !silent {
		server.Bound(r) // one that only says that it is a call has no reason to be silent
	}
	if there && limit > 0 {
		if r.ContentLength > limit {
			return &bodyTooLarge
		}
		r.Body = http.MaxBytesReader(ex.w.ResponseWriter, r.Body, limit)
	}
	// Else it is a conversation, or the origin's word comes first, or it is too much to hold.
	if there && r.ContentLength >= 0 && r.ContentLength <= collected && r.Header["Expect"] == nil && !silent {
		whole, err := io.ReadAll(r.Body)
		if err != nil {
			return bodyRefusal(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(whole))
	}
	if ex.reason != policy.NoReason { // no route
		return nil
	}
	var err error
	if ex.content, err = ex.readContent(); err != nil {
		return bodyRefusal(err)
	}
	return nil
}

var bodyTooLarge = refusal{http.StatusRequestEntityTooLarge, policy.TooLarge, "the request body is larger than allowed"}

// bodyRefusal is what a client is told whose request body could not be read.
func bodyRefusal(err error) *refusal {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return &bodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, policy.RequestBody, "the request body did not come any further"}
	default:
		return &refusal{http.StatusBadRequest, policy.RequestBody, "the request body broke off or is malformed"}
	}
}
