// Package hit answers requests from copies below net/http, in the goroutine that reads the connection: from the bytes
// that a client has sent to the bytes that the client gets.
//
//	Path    a request on its way: read, answered, written, or left to net/http   hit.go
//	head    reads what every recipient reads alike, and nothing else             head.go
//	writer  writes an answer as net/http does                                    writer.go
//
// Invariant: an answer of this package has the same bytes that net/http would have written. A request that this
// package does not answer goes to net/http as it came. So one decision is made about a request, by the Answerer, and
// this package knows no rule of caching. Only the reading of a head and the writing of an answer are implemented a
// second time, because these cost most in a hit by way of net/http: a context, two maps and a goroutine that waits
// for the client to leave.
package hit
