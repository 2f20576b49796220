// Package proxy is the path of a request: what it asks, what is to become of it, and doing that.
//
//	Hits           one request, if its decision is that a copy answers     atonce.go
//	ServeHTTP      one request, from its head to its answer               exchange.go
//	  resolve      the route, and what the configuration says of it       request.go
//	  receive      the content, as far as it must be known                requestbody.go, content.go
//	  plan         read, write or pass; the storage key of a read         request.go
//	  decide       which copy, which step, what is told: data             decide.go, find.go, parts.go
//	               while the store is down, or purges may be unknown      decide.go, lease.go
//	  execute      does what was decided                                  exchange.go
//	    serveCopy  deliver a copy                                         deliver.go, coded.go, ranges.go
//	    together   fetch with whoever asks for the same, or alone         fetch.go, failedfetch.go
//	    write      invalidate around the origin's work                    write.go, acknowledge.go, keepwrite.go
//	    pass       the request itself goes to the origin                  pass.go, head.go
//	    observe    pass, and compare with what would have been served     observe.go, difference.go
//	    refuse     an error of the proxy's own                            delivery.go, failure.go
//	  caught       a defect ends the request that meets it                defect.go
//	  report       the log, the metrics and the trace                     report.go, trace.go
//
// A decision is a value, made without touching anything: Explain prints the same decision that ServeHTTP carries out. Each answer
// has one policy.Status, settled once, before its head is made. Cache-Status, the access log, the metrics and the trace print it.
//
// A request that shares a fetch may find that what comes is not for it: it is decided once more, a few times at most, and then goes
// to the origin by itself. That is the one loop on the path.
//
// What belongs to no client is below, in package fill: flights, the fetch of an answer that many share, the one way to store it,
// the tiers below memory, and renewals. Package pass sends one request through, byte for byte. The connections of clients are in
// package server, the upstreams' in package upstream. One generation of the configuration takes the place of another in
// reconfigure.go; the modes of routes are switched in modes.go.
package proxy
