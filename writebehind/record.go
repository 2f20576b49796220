package writebehind

import (
	"errors"
	"time"
)

// State is how far a write is. Its values are what the queue holds, and what clients and operators see.
type State string

const (
	queued  State = "queued"  // nobody has tried it
	sending State = "sending" // it is at the origin, or was when its owner ended
	Waiting State = "waiting" // it is to be tried again
	// Flushed: the origin has it. What it makes unusable is not yet confirmed to be so everywhere.
	flushed State = "flushed"
	Done    State = "done"
	Dead    State = "dead"    // it waits for somebody to decide
	Dropped State = "dropped" // somebody has decided that it is not to be
)

// Record is what the queue holds of a write beside the request.
type Record struct {
	ID        string
	State     State
	Key       string
	Route     string
	Partition int
	Sequence  uint64 // in its key later writes have greater ones; microseconds, about, since 1970
	Accepted  time.Time
	Updated   time.Time
	Tried     time.Time // for the first time; zero: never
	Next      time.Time // Waiting: not tried before; zero: at once
	Attempts  int
	Status    int    // of the origin's last answer; zero: there was none
	Problem   string // with the last try; empty: none
	Blocks    bool   // Dead: the key waits for the decision
	Overtaken bool   // Dead: later writes of the key are done
	Sealed    []byte // the request; nil: it is not needed any more
}

var (
	// ErrUnknown: there is no such write, or not any more.
	ErrUnknown = errors.New("no such write")
	// ErrOtherPayload: the idempotency key stands for another request.
	ErrOtherPayload = errors.New("the idempotency key was used for another request")
	// ErrFull: as many writes wait as may.
	ErrFull = errors.New("as many writes wait as may")
	// ErrNotSafe: the queue cannot say that a write would survive. It may be in the queue all the same.
	ErrNotSafe = errors.New("the queue does not confirm that the write is safe")
	// ErrNotOwner: another instance has the partition.
	ErrNotOwner = errors.New("the partition has another owner")
	// ErrLater: writes of the same key that came later are done, or wait.
	ErrLater = errors.New("later writes of the same key are done, or wait")
	// ErrNotDead: the write does not wait for a decision.
	ErrNotDead = errors.New("the write is not a dead letter")
)

// Ownership is the right to flush a partition.
type Ownership struct {
	Partition int
	Token     uint64 // greater than that of every owner before
	Surplus   bool   // others have less, and are to get it
}

// News is an entry of a partition.
type News struct {
	Partition int
	Ref       Ref
	Decision  string // retry or drop, by an operator; empty: it is a write
}

// Entry is a write that is to be accepted.
type Entry struct {
	ID, Key, Route string
	Sealed         []byte
	Identities     []Identity // the first is noted, any is looked for
	Repeats        bool       // Write.Repeatable
	Rules          *Rules
}

// Receipt is what the queue says of a write that it has.
type Receipt struct {
	ID       string // of the write; another's where the idempotency key is
	State    State
	Accepted time.Time
	Known    bool // the idempotency key was, with the same payload
}

// Last is what the end of a key's writes is.
type Last struct {
	ID      string // of the last that is not done; empty: all are
	Blocked bool   // the first waits for somebody to decide
}
