// Package server is what stands between the sockets of clients and a handler: listeners, connections, and the limits by which no
// client takes more than its part.
//
//	Connections  the connections of one listener: how many, which give way, how they end   connections.go, listener.go
//	  connection how long a client may take nothing, how it closes, what is at work on it   connection.go, linger.go
//	  guard      every request: how its body comes, whether its answer is taken             guard.go, timed.go
//	NewServer    http.Server, with the limits and the certificate that it presents          server.go, certificate.go
//
// It knows neither cache nor policy. A handler tells a connection that it wants no more of a body (GiveUp), and asks whether one
// came too late (Late), by the context of the request; Silent is asked of a request alone.
package server
