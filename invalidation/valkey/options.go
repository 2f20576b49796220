package valkey

import (
	"crypto/tls"
	"log/slog"
	"time"

	"cacheproxy/invalidation"
)

// Server says where the server is and how to log in.
type Server struct {
	Addresses []string // host:port; several are nodes of one cluster
	Username  string   // of an ACL user; empty: the default user
	Password  string   // empty: none
	Database  int      // 0 to 15; a cluster has only 0
	TLS       *tls.Config
	Sentinel  *Sentinel // nil: Addresses are the server itself
}

// Sentinel says how to find the server through sentinels, whose addresses are Server.Addresses.
type Sentinel struct {
	Master             string
	Username, Password string
}

// Options are the parts of a Log. All fields but Signer, OnNotice and Observe are required.
type Options struct {
	Connection *Connection // of its own: bodies on the same connection would delay heartbeats
	Prefix     string      // of every key
	Instance   string      // name of this process in receipts; unique in the fleet
	Ledger     *invalidation.Ledger
	Lease      time.Duration
	// Replicas is how many replicas must have an entry before the entry is acknowledged (WAIT). Zero: none.
	Replicas int
	Signer   *Signer // nil: entries are not signed
	Log      *slog.Logger
	// OnNotice is called with every notice, in the order of the log, by the syncer or the hinter, under the syncer's
	// lock. OnNotice must not block, since no heartbeat goes out meanwhile, and must take no lock under which any
	// goroutine waits for the log (docs/architecture.md).
	OnNotice func(invalidation.Notice)
	// Observe is called with the duration and the outcome of an operation. op is sync or append.
	Observe func(op string, took time.Duration, err error)
}

func (o *Options) observe(op string, since time.Time, err error) {
	if o.Observe != nil {
		o.Observe(op, time.Since(since), err)
	}
}

// State is the state of the log as operators see it.
type State struct {
	Connected bool
	History   string        // hexadecimal; empty before the first contact
	Position  uint64        // of the last entry applied, in the shared log
	Behind    uint64        // entries that the log had beyond Position at the last contact
	Contact   time.Duration // since the last heartbeat that was answered; negative: none was
	Lag       time.Duration // since the ledger was last known to be complete; negative: never
	Instances []string      // live, by the last heartbeat
	Floor     uint64
	Members   int // members that the ledger tells apart
	Pending   int // entries that wait to be recorded
}
