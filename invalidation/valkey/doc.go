// Package valkey keeps the log of invalidations on a Valkey server that several instances share.
//
// The protocol itself is package fleet, which knows neither the server nor the time. This package is the driver of fleet.Follower: the
// connection, the scripts that make each step of the protocol atomic on the server, and three goroutines. The syncer carries
// requests and replies, the writer appends entries, the hinter hears those of others as they are appended, and who has applied this instance's.
package valkey
