package valkey

import (
	"context"
	"errors"
	"os"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"

	client "github.com/valkey-io/valkey-go"
)

// Kind names an error of an operation, for a metric: one of few words.
func Kind(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrDown), errors.Is(err, valkey.ErrNotConnected):
		return "down"
	case errors.Is(err, store.ErrBusy):
		return "busy"
	case errors.Is(err, errGarbled):
		return "garbled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case replied(err):
		return "refused"
	default:
		return "network"
	}
}

// replied reports whether an error is the server's answer.
func replied(err error) bool {
	var answer *client.ValkeyError
	return errors.As(err, &answer)
}
