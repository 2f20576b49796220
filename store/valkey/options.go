package valkey

import (
	"log/slog"
	"time"

	"cacheproxy/invalidation/fleet"
	"cacheproxy/invalidation/valkey"
)

// Options configures a Tier. All fields but Compress, Signer, Alive and Observe are required.
type Options struct {
	Connection *valkey.Connection // for data: bodies must not delay the heartbeats of the log
	Prefix     string             // of every key, without braces
	Positions  fleet.Positions
	Timeout    time.Duration  // of one read, which then is a miss, and of one claim
	MaxObject  int64          // longer bodies are neither written nor read, in bytes
	Compress   bool           // pack values with zstd, where that is worth it. Packed copies are read in any case
	Signer     *valkey.Signer // nil: values are written without a signature, and read without verification
	// Alive reports whether the server is known to answer. If Alive reports false, the tier is down without failed
	// operations of its own. Nil: the tier relies on its own operations.
	Alive func() bool
	// Observe gets the duration and the error of each operation. The names are get, put, claim, await, renew, release
	// and probe, and decode where decoding has failed.
	Observe func(op string, took time.Duration, err error)
	Log     *slog.Logger
}

func (o *Options) observe(op string, began time.Time, err error) {
	if o.Observe != nil {
		o.Observe(op, time.Since(began), err)
	}
}
