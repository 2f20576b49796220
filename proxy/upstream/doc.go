// Package upstream is one upstream: how many requests may be at the upstream at once, how long the upstream may take,
// and how a request gets there with its target untouched.
//
//	Acquire, Send      place → address → send → head → body                     upstream.go, send.go, wait.go, body.go
//	limiter            which request is next, which wait, which are refused     limiter.go, queue.go, slot.go
//	balancer           which address, and when an address is ejected            balancer.go, address.go, retrybudget.go
//	Run                checks the health of the addresses                       health.go
//	Succeed, Retire    the next configuration, with or without this upstream    succeed.go
//	stall              a response that stops in the middle, or is not taken     stall.go
//	sending            a request's body that does not come, a place that is lent sending.go
//	SetTarget          the request target, byte for byte                        target.go
//	trip, again        what was sent, and which requests are sent once more     trip.go, repeat.go
//	replay, keptBody   a body that may have to be sent again                    replay.go, keptbody.go
//	connections        how many, how old, which protocol                        transport.go, countedconn.go, dial.go
//	direct             the way of requests without content, without TLS         direct.go, idleconns.go
//	checkHead          a response that is no valid one                          head.go, fieldname.go
//	Classify, Status   the meaning of an error for the client                   classify.go
//	NotSent            the meaning of an error for the upstream                 notsent.go
//
// Constructors dial nothing. Every exported name is safe for concurrent use. Order of the package's locks: the lock
// of stall is held while those of wait and of the limiter are taken, and the lock of trip while that of replay is
// taken.
package upstream
