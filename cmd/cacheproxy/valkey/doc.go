// Package valkey looks at a Valkey server from outside: whether it is set up as the proxy needs it, and what its errors mean.
//
//	inspect.go      what is found, in the order in which an operator wants to know
//	settings.go     what the server is configured to do
//	permissions.go  whether the proxy may do what it does
//	kind.go         what an error is called in metrics
package valkey
