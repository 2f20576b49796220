package writebehind

import (
	"errors"
	"time"
)

// State is the state of a write. The queue stores these values, and clients and operators see them.
type State string

const (
	queued  State = "queued"  // not tried yet
	sending State = "sending" // at the origin, or was there when its owner ended
	Waiting State = "waiting" // to be tried again
	// flushed: the origin has done the write. The copies that it affects are not confirmed to be unusable everywhere.
	flushed State = "flushed"
	Done    State = "done"
	Dead    State = "dead"    // waits for a decision
	Dropped State = "dropped" // an operator has decided that the write is not to be done
)

// Record is what the queue stores of a write besides the request.
type Record struct {
	ID        string
	State     State
	Key       string
	Route     string
	Partition int
	Sequence  uint64 // later writes of the same key have greater ones; about microseconds since 1970
	Accepted  time.Time
	Updated   time.Time
	Tried     time.Time // the first try; zero: never tried
	Next      time.Time // the earliest next try, by the pause of the write and the rest of its key; zero: at once
	Attempts  int
	Status    int    // of the origin's last answer; zero: no answer
	Problem   string // of the last try; empty: none
	Blocks    bool   // Dead: the key waits for a decision
	Overtaken bool   // Dead: later writes of the key are done
	Sealed    []byte // the request; nil: removed, since the write is decided
}

// Outcome is the result of a try, as the queue records it.
type Outcome struct {
	State   State
	Status  int           // of the origin's answer; zero: no answer
	Problem string        // empty: none
	Blocks  bool          // Dead: the key waits for a decision
	Wait    time.Duration // Waiting: the least time to the next try
	// AtWork is how long the origin may still be at work on the try; zero: the origin is not at work. No write of the
	// key begins before, whatever the state is, and whatever an operator decides: the origin would do that write first,
	// then finish this try, and end with the older content.
	AtWork time.Duration
}

var (
	// ErrUnknown: the queue does not have the write, or has forgotten it.
	ErrUnknown = errors.New("no such write")
	// ErrOtherPayload: the idempotency key stands for another request.
	ErrOtherPayload = errors.New("the idempotency key was used for another request")
	// ErrFull: the number of waiting writes has reached its bound.
	ErrFull = errors.New("as many writes wait as may")
	// ErrNotSafe: the queue does not confirm that the write would survive. The write may be in the queue all the same.
	ErrNotSafe = errors.New("the queue does not confirm that the write is safe")
	// ErrNotOwner: another instance owns the partition.
	ErrNotOwner = errors.New("the partition has another owner")
	// ErrLater: later writes of the same key are done, or wait.
	ErrLater = errors.New("later writes of the same key are done, or wait")
	// ErrNotDead: the write does not wait for a decision.
	ErrNotDead = errors.New("the write is not a dead letter")
)

// Ownership is the right to flush a partition.
type Ownership struct {
	Partition int
	Token     uint64 // greater than the token of every earlier owner
	Surplus   bool   // the instance has more than its share, and is to give this partition back
}

// News is an entry in the stream of a partition.
type News struct {
	Partition int
	Ref       Ref
	Decision  string // retry or drop, by an operator; empty: the entry is a write
}

// Entry is a write to be accepted.
type Entry struct {
	ID, Key, Route string
	Sealed         []byte
	Identities     []Identity // the first is stored; a match of any finds a known write
	Repeats        bool       // Write.Repeatable
	Rules          *Rules
}

// Receipt describes a write that the queue has.
type Receipt struct {
	ID       string // of the write; if Known, of the earlier write
	State    State
	Accepted time.Time
	Known    bool // the idempotency key was known, with the same payload
}

// Last describes the end of the writes of a key.
type Last struct {
	ID      string // of the last write that is not done; empty: all are done
	Blocked bool   // the first write waits for a decision
}
