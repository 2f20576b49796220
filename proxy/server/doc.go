// Package server holds the parts between the sockets of clients and a handler: listeners, connections, and the limits
// that keep a client from taking more than its part.
//
//	Connections  the connections of one listener: how many, which give way, how they end   connections.go, listener.go
//	  connection how long a client may take nothing, how it closes, what is at work on it   connection.go, linger.go
//	  guard      every request: how its body comes, whether its answer is taken             guard.go, timed.go
//	Hits         answers requests before net/http gets them; whose turn it is             hits.go
//	New          http.Server, with the limits and the certificate that it presents          server.go, certificate.go
//
// The package knows neither cache nor policy. With the context of a request, a handler tells the connection that no
// more of a body is wanted (GiveUp), and asks whether a body came too late (Late). Silent and PeerAddr need only the
// request. Every exported name is safe for concurrent use.
//
// No goroutine holds two of the package's locks at once, with one exception: the lock of a body (timedBody) is held
// while the connection is read.
package server
