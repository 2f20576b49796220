// Package server is what stands between the sockets of clients and a handler: listeners, connections, and the limits by which no
// client takes more than its part.
//
//	Connections  the connections of one listener: how many, which give way, how they end   connections.go, listener.go
//	  connection how long a client may take nothing, how it closes, what is at work on it   connection.go, linger.go
//	  guard      every request: how its body comes, whether its answer is taken             guard.go, timed.go
//	Hits         answers requests before net/http gets them; whose turn it is             hits.go
//	New          http.Server, with the limits and the certificate that it presents          server.go, certificate.go
//
// The package knows neither cache nor policy. By the context of a request, a handler tells the connection that no more of a body
// is wanted (GiveUp), and asks whether a body came too late (Late). Silent and PeerAddr are asked of a request alone. Everything
// exported is safe for concurrent use.
//
// No two of the package's locks are held at once, but for that of a body (timedBody), which is held while the connection is read.
package server
