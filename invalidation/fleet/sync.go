package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// SyncRequest is a heartbeat. One message registers the instance as live, acknowledges the entries that the instance
// has applied, and asks for the entries after those. The server carries the request out in one atomic step: between
// the registration and the reading of the entries no other instance can append an entry that neither step sees.
type SyncRequest struct {
	History   History // of the log that the instance follows; zero: none yet
	Term      uint32  // the latest that the instance knows; zero: none
	Beat      uint64  // counts the requests of this instance: the failure detectors of the others watch the number change
	Applied   uint64  // Seq of the last entry applied: the acknowledgement
	Nonce     uint64  // of that entry: the server compares it with the nonce at Applied
	Retention time.Duration
	Owes      bool          // the instance has entries to write that no other instance may know of
	Lease     time.Duration // how long the instance uses copies without news: others may wait by this length
	// Held is for how long the instance has held a lease in Term without a break. Zero: the instance holds none.
	Held time.Duration
	// Edition is the edition of the list of instances, as the last reply told it. Where the list has another, the
	// server takes Held for zero.
	Edition string
	// Longest is the longest lease that any instance may hold, since another server may have taken over that has not
	// heard of this lease.
	Longest time.Duration
	Sent    time.Time // by the clock of the instance, before the request leaves; not part of the message
}

// Status is the relation of the server's log to the entry that a SyncRequest acknowledges.
type Status uint8

const (
	// Current: the log holds that entry. The zero value.
	Current Status = iota
	// NoHistory: the server has no log.
	NoHistory
	// OtherHistory: the server has another log.
	OtherHistory
	// Diverged: the log ends before that entry, or has another entry in its place.
	Diverged
	// Gap: the log has been trimmed beyond that entry.
	Gap
)

// SyncReply is the server's reply to a SyncRequest. The fields from Terms on have a meaning only with the status
// Current.
type SyncReply struct {
	Status Status
	// Server names one life of the server process: the name changes with a restart and with a failover. Empty: the
	// server did not say, and the instance takes no lease.
	Server string

	Terms   []Term                // all terms, if the latest is not the term of the request
	Seq     uint64                // of the last entry of the log
	Floor   uint64                // Seq below which the server has forgotten marks
	Longest time.Duration         // the longest lease that instances of this log are known to use; zero: not known
	Records []invalidation.Record // the entries after SyncRequest.Applied, as many as fit
	Live    []Peer                // the registered instances, including the one that asks
	Edition string                // of the list in Live; see List
}

// List is the list of instances on a server, as the list was in the step that appended an entry. The zero value is
// the list of no server.
type List struct {
	Server string // as in SyncReply
	// Edition changes after somebody who is no instance has taken instances off the list, or has put instances on.
	Edition string
	Names   []string
}

// Peer is a live instance as the server lists it, by its latest SyncRequest.
type Peer struct {
	Name    string
	Beat    uint64
	Applied uint64
	Owes    bool
	Lease   time.Duration // zero: a version that does not tell; see Peer.lease
	Term    uint32        // the term in which Held is counted
	Held    time.Duration
	// Entry is the text of this instance on the server's list, exactly as the server holds it; other versions may
	// write another text. To take an instance off the list, the reaper names this text, so that no instance is taken
	// off that has given a sign of life since.
	Entry string
}

// lease returns how long a peer may use copies without news, at most. An instance of a version that does not tell may
// use any lease that can be configured.
func (p Peer) lease() time.Duration {
	if p.Lease <= 0 {
		return invalidation.MaxLease
	}
	return p.Lease
}

// Step is the next action of a Follower's driver after a reply.
type Step uint8

const (
	// Idle: sync again after a heartbeat, or as soon as a new entry is known of. The zero value.
	Idle Step = iota
	// SyncAgain: sync at once. The log has more entries, or the entries just applied have to be acknowledged.
	SyncAgain
	// CreateLog: begin a log with a new History on the server, unless another instance was first, and sync again.
	CreateLog
	// FetchSnapshot: read a Snapshot, hand it to InstallSnapshot, and sync again.
	FetchSnapshot
	// CompareLogs: read the log backwards, pass the places of its entries to LastCommon until LastCommon finds one,
	// call Rewind, and sync again.
	CompareLogs
)
