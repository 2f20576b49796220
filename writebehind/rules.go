package writebehind

import "time"

// Durability is what has to be true of a write before its client hears that it was accepted.
type Durability uint8

const (
	// Fsync: the server has it on disk (WAITAOF). The zero value.
	Fsync Durability = iota
	// Replicas: a replica has it, too (WAIT).
	Replicas
)

// String is the word in the configuration.
func (d Durability) String() string { return [...]string{"fsync", "replicas"}[d] }

// ReadPending is what a read gets while writes to what it reads wait in the queue.
type ReadPending uint8

const (
	// Stale: what it would get without a queue. The zero value.
	Stale ReadPending = iota
	// Wait: it waits until they are done.
	Wait
	// Overlay: what the last of them puts there; else it waits.
	Overlay
)

// String is the word in the configuration.
func (p ReadPending) String() string { return [...]string{"stale", "wait", "overlay"}[p] }

// Rules are what a route says about its writes. They do not change.
type Rules struct {
	// StatusPath is the path below which each write has its resource; it ends in a slash.
	StatusPath string
	// AuthorizeUpstream is the name of the upstream that is asked first whether a client may write, at AuthorizePath. Empty: nobody is.
	AuthorizeUpstream, AuthorizePath string
	Durability                       Durability
	MaxQueued                        int           // writes of the route that are not done
	MaxPerKey                        int           // of them, with one key
	MaxBody                          int64         // bytes of one
	MaxAge                           time.Duration // from the first try to the last
	// Repeats says that the API heeds Idempotency-Key, so that it may be asked again whatever the method.
	Repeats     bool
	ReadPending ReadPending
	// Patience is for how long a request waits for the writes before it.
	Patience time.Duration
}
