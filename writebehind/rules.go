package writebehind

import "time"

// Durability is the condition on a write for the answer to its client that the write is accepted.
type Durability uint8

const (
	// Fsync: the server has the write on disk (WAITAOF). The zero value.
	Fsync Durability = iota
	// Replicas: a replica has the write, too (WAIT).
	Replicas
)

// String returns the word in the configuration.
func (d Durability) String() string { return [...]string{"fsync", "replicas"}[d] }

// ReadPending decides the answer to a read while writes to its target wait in the queue.
type ReadPending uint8

const (
	// Stale: the read gets the same answer as without a queue. The zero value.
	Stale ReadPending = iota
	// Wait: the read waits until the writes are done.
	Wait
	// Overlay: the read gets the content of the last write, if Write.Overlays; otherwise the read waits.
	Overlay
)

// String returns the word in the configuration.
func (p ReadPending) String() string { return [...]string{"stale", "wait", "overlay"}[p] }

// Rules are the settings of a route for its writes. Rules are immutable.
type Rules struct {
	// StatusPath is the path below which each write has its resource. The path ends in a slash.
	StatusPath string
	// AuthorizeUpstream names the upstream that decides, at AuthorizePath, whether a client may write. Empty: no
	// upstream is asked.
	AuthorizeUpstream, AuthorizePath string
	Durability                       Durability
	MaxQueued                        int           // bound for the writes of the route that are not done
	MaxPerKey                        int           // bound for those of them that have the same key
	MaxBody                          int64         // bound for the bytes of a body
	MaxAge                           time.Duration // bound for the time from the first try to the last
	// Repeats says that the API honours Idempotency-Key, so that a write may be sent again whatever its method.
	Repeats     bool
	ReadPending ReadPending
	// Patience is how long a request waits for the writes before it.
	Patience time.Duration
}
