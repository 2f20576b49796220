// Package valkey keeps the log of invalidations on a Valkey server that several instances share.
//
// The protocol is package fleet, which knows neither the server nor the time. This package is the driver of
// fleet.Follower: the connection, the scripts that make each step of the protocol atomic on the server, and three
// goroutines. The syncer carries requests and replies. The writer appends entries. The hinter hears the entries of
// other instances as they are appended, and which instances have applied the entries of this one.
package valkey
