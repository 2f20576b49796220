package valkey

import (
	"log/slog"
	"time"

	"cacheproxy/invalidation/fleet"
	"cacheproxy/invalidation/valkey"
)

// Options is what a Tier works with. All fields but Compress, Signer, Alive and Observe are required.
type Options struct {
	Connection *valkey.Connection // for data: bodies on it must not delay the heartbeats of the log
	Prefix     string             // of every key, without braces
	Positions  fleet.Positions
	Timeout    time.Duration  // of one read, which then is a miss, and of one claim
	MaxObject  int64          // longer bodies are neither written nor read, in bytes
	Compress   bool           // pack what is written with zstd, where that is worth it. Packed copies are read in any case
	Signer     *valkey.Signer // nil: what is written is not signed, and what is read is not verified
	// Alive reports whether the server is known to answer; if it does not, the tier is down without having to find that out by operations that
	// fail. Nil: the tier has to find out.
	Alive func() bool
	// Observe is called with how long an operation took and its error. op is get, put, claim, await, renew, release, probe, or, for values that
	// are damaged, decode. It must be safe for concurrent use. May be nil.
	Observe func(op string, took time.Duration, err error)
	Log     *slog.Logger
}

func (o *Options) observe(op string, began time.Time, err error) {
	if o.Observe != nil {
		o.Observe(op, time.Since(began), err)
	}
}
