package valkey

import (
	"context"
	"errors"
	"os"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"
)

// kind names how an operation ended, by what a test cares about.
func kind(err error) string {
	switch {
	case err == nil:
		return ""
	case unsent(err):
		return "down"
	case errors.Is(err, store.ErrBusy):
		return "busy"
	case errors.Is(err, ErrGarbled):
		return "garbled"
	case errors.Is(err, valkey.ErrSignature):
		return "signature"
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
