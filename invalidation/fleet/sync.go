package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// SyncRequest is a heartbeat. One message registers the instance as live, acknowledges what the instance has applied, and asks
// for the entries after that. The server carries it out in one atomic step: between the registration and the reading of the
// entries no other instance can append one that neither sees.
type SyncRequest struct {
	History   History // of the log that the instance follows; zero: none yet
	Term      uint32  // the latest that the instance knows; zero: none
	Beat      uint64  // counts the requests of this instance: the failure detectors of the others watch it change
	Applied   uint64  // Seq of the last entry applied: the acknowledgement
	Nonce     uint64  // of that entry, by which the server sees whether both mean the same entry
	Retention time.Duration
	Owes      bool          // the instance has entries to write that no other instance may know of
	Lease     time.Duration // how long the instance uses copies without news: others may wait by it
	Held      time.Duration // for how long the instance has held a lease in Term without a break; zero: it holds none
	Edition   string        // of the list of instances, by the last reply; if the server's is another, it takes Held for zero
	Longest   time.Duration // the longest lease that any instance may hold; the server may be one that has not heard of it
	Sent      time.Time     // by the clock of the instance, before the request leaves; it is not sent
}

// Status is how the server's log stands to the entry that a SyncRequest acknowledges.
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

// SyncReply is the server's reply to a SyncRequest. The fields from Terms on have a meaning only with the status Current.
type SyncReply struct {
	Status Status
	// Server names one life of the server process: after a restart and after a failover the name is another. Empty: the
	// server did not say, and no lease is taken.
	Server string

	Terms   []Term                // all of them, if the latest is not the one of the request
	Seq     uint64                // of the last entry of the log
	Floor   uint64                // Seq below which the server has forgotten marks
	Longest time.Duration         // the longest lease that instances of this log are known to use; zero: not known
	Records []invalidation.Record // the entries after SyncRequest.Applied, as many as fit
	Live    []Peer                // the instances that are registered, including the one that asks
	Edition string                // of the list that Live is; see List
}

// List is the list of instances on a server, as it was in the step that appended an entry. The zero value is that of no server.
type List struct {
	Server string // as in SyncReply
	// Edition changes when something else than the instances themselves has taken instances off the list, or put them on.
	Edition string
	Names   []string
}

// Peer is a live instance as the server lists it, by its latest SyncRequest.
type Peer struct {
	Name    string
	Beat    uint64
	Applied uint64
	Owes    bool
	Lease   time.Duration // zero: a version that does not say; see lease
	Term    uint32        // in which Held is counted
	Held    time.Duration
	// Entry is the instance's item on the server's list, byte for byte, which another version may have written. An instance that takes it off the
	// list has to send Entry, so that no instance is taken off that has given a sign of life since.
	Entry string
}

// lease is how long a peer may use copies without news, at most. A version that does not say may use any lease that can be
// configured.
func (p Peer) lease() time.Duration {
	if p.Lease <= 0 {
		return invalidation.MaxLease
	}
	return p.Lease
}

// Step is what the driver of a Follower has to do after a reply.
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
	// CompareLogs: read the log backwards, hand the places of its entries to LastCommon until that finds one, call Rewind, and
	// sync again.
	CompareLogs
)
