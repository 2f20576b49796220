// Package valkey inspects a Valkey server from outside: whether the server is set up as the proxy needs, and what its
// errors mean.
//
//	inspect.go      the findings, in the order in which an operator wants them
//	settings.go     the server's configuration
//	permissions.go  the commands that the proxy may run
//	records.go      the server of boards
//	kind.go         the kinds of errors in metrics
package valkey
