// Package upstream is one upstream: how many requests it may see at once, how long it may take, and how a request gets
// to it with its target untouched.
//
//	Acquire, Send      place → address → send → head → body                     upstream.go, send.go, wait.go, body.go
//	limiter            who goes next, who waits, who is refused                 limiter.go, queue.go, slot.go
//	balancer           which address, and what speaks against one               balancer.go, address.go, retrybudget.go
//	Run                asks the addresses whether they work                     health.go
//	Succeed, Retire    another configuration, or none any more                  succeed.go
//	stall              a response that stops in the middle, or is not taken     stall.go
//	sending            a request's body that does not come, a place that is lent sending.go
//	SetTarget          the request target, byte for byte                        target.go
//	trip, again        what is sent, and what is sent once more                 trip.go, repeat.go, keptbody.go, countedconn.go
//	replay             a body that HTTP/2 may have to send again                replay.go
//	connections        how many, how old, which protocol                        transport.go
//	direct             the way of requests without content, without TLS         direct.go, idleconns.go
//	checkHead          a response that is none                                  head.go, fieldname.go
//	Classify, Status   what an error means to the client                        classify.go
//	NotSent            what an error means to the upstream                      notsent.go
//
// Constructors dial nothing. Everything exported is safe for concurrent use. Of the package's locks stall's is held while wait's and the
// limiter's are taken, and trip's while replay's is.
package upstream
