// Package valkey keeps the log of invalidations on a Valkey server that several instances share.
//
// The protocol itself is fleet.Follower, which knows neither the server nor the time. Here is what it lacks: the
// connection, the scripts that make each step atomic on the server, and the one goroutine that carries questions and answers
// between the two.
package valkey
