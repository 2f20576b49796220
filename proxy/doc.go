// Package proxy handles the requests of clients. A request is resolved, planned and decided; then the decision is
// executed.
//
//	Hits           one request, if its decision is that a copy answers     atonce.go
//	ServeHTTP      one request, from its head to its answer               exchange.go
//	  resolve      the route, and its configuration                       request.go
//	  receive      the part of the content that the plan needs            requestbody.go, content.go
//	  plan         read, write or pass; the storage key of a read         request.go
//	  decide       which copy, step and Status, as a value                decide.go, find.go, parts.go
//	               while the store is down, or purges may be unknown      decide.go, lease.go
//	  execute      carries out the decision                               exchange.go
//	    serveCopy  deliver a copy                                         deliver.go, coded.go, ranges.go
//	    together   fetch with requests that ask the same, or alone        fetch.go, failedfetch.go
//	    write      invalidate around the origin's work                    write.go, acknowledge.go, keepwrite.go
//	    pass       the request itself goes to the origin                  pass.go, head.go
//	    observe    pass, and compare the answer with the copy             observe.go, difference.go
//	    refuse     an error of the proxy's own                            delivery.go, failure.go
//	  caught       recovers from a panic in the handling of a request     defect.go
//	  report       the log, the metrics and the trace                     report.go, trace.go
//
// decide makes a decision without changing anything, and a decision is a value: Explain prints the decision that
// ServeHTTP carries out. Each answer has one policy.Status, settled once, before the head of the answer is made.
// Cache-Status, the access log, the metrics and the trace print this Status.
//
// A request that shares a fetch may find that the answer is not for this request. ServeHTTP then decides again, a few
// times at most; after that, the request goes to the origin by itself. No other loop is on the path.
//
// Package fill has the work that belongs to no client: flights, the fetch of an answer that many requests share, the
// one way to store an answer, the tiers below memory, and renewals. Package pass sends one request through, byte for
// byte. The connections of clients are in package server, the upstreams' in package upstream. In reconfigure.go, one
// generation of the configuration takes the place of another; modes.go switches the modes of routes.
package proxy
