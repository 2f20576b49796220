// Package origin is one upstream: how many requests it may see at once, how long it may take, and how a request gets
// to it with its target untouched.
//
//	Origin.RoundTrip   place → send → wait for the head → hand over the body    origin.go, wait.go
//	limiter            who goes next, who waits, who is refused                 limiter.go
//	SetTarget          the request target, byte for byte                        target.go
//	newTransport       connections: how many, how long, which protocol          transport.go
//	Classify, Status   what an error means to the client                        classify.go
//
// Constructors dial nothing. Everything exported is safe for concurrent use.
package origin
