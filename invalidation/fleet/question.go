package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// Question is a heartbeat: it asks for what is new, and says what has been applied.
type Question struct {
	History   History
	Term      uint32 // the latest that is known
	Beat      uint64
	Applied   uint64
	Nonce     uint64
	Retention time.Duration // the longest that a copy may be held
	Owes      bool          // this instance has entries to write that others may not have heard of
	Sent      time.Time
}

// Status is how the log stands to the position of who asks.
type Status uint8

const (
	// Current: the log has the entry at that position. The zero value.
	Current Status = iota
	// NoHistory: there is no log.
	NoHistory
	// OtherHistory: it is another log.
	OtherHistory
	// Diverged: entries that were applied are not there, or others are in their place.
	Diverged
	// Gap: the log does not reach back as far.
	Gap
)

// Answer is what the log says to a Question. Only with Current the fields below Server have a meaning.
type Answer struct {
	Status Status
	Server string        // names one life of the server process; a change means that entries may have been lost. Empty: it did not say
	Up     time.Duration // how long that life is known to have lasted as the only server there was; zero: not known

	Terms   []Term // all, if the latest is not the one of the question
	Seq     uint64 // of the last entry
	Floor   uint64
	Records []invalidation.Record // that follow Question.Applied, as many as were asked for
	Live    []Peer                // including who asks
}

// Step is what has to be done after an answer.
type Step uint8

const (
	// Rest: ask again after a heartbeat, or when something is known to be new. The zero value.
	Rest Step = iota
	// AskAgain: there is more, or what was applied has to be acknowledged.
	AskAgain
	// Found: begin a history on the server, then ask again.
	Found
	// Fetch: read a Snapshot and hand it to Load.
	Fetch
	// Compare: read the log backwards and hand its places to Common until that finds one, then call Diverge.
	Compare
)

// Peer is an instance as the log knows it.
type Peer struct {
	Name    string
	Beat    uint64 // counts its heartbeats
	Applied uint64
	Owes    bool // it has entries to write that others may not have heard of
}
