// Package hit answers requests from copies below net/http: from the bytes that a client has sent to those that it gets, in the goroutine
// that reads the connection.
//
//	Path    a request on its way: read, answered, written, or left to net/http   hit.go
//	head    reads what every recipient reads alike, and nothing else             head.go
//	writer  writes an answer as net/http does                                    writer.go
//
// Invariant: whatever is answered here would have been answered with the same bytes by way of net/http, and what is not answered here goes
// to net/http as it came. So there is one decision about a request, which is the Answerer's, and no rule of caching is known here. Only
// the reading of a head and the writing of an answer are done anew, because that is what a hit by way of net/http costs most for: a
// context, two maps and a goroutine that waits for the client to leave.
package hit
