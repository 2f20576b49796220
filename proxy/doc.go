// Package proxy is the path of a request.
//
//	ServeHTTP    match the route, plan, and go one of three ways     proxy.go
//	  read       look for a copy; deliver it, or fetch               read.go
//	    fetch    join or lead a flight, wait for its header          fetch.go
//	    deliver  a copy or a growing body to one client              deliver.go
//	  write      invalidate around the origin's work                 write.go
//	  pass       the request itself goes to the origin               pass.go
//	  observe    pass, and compare with what would have been served  observe.go
//
// What belongs to no client is below it, in package fill: flights, the fetch of an answer that many share, its storing, the tiers
// below memory, and renewals. The connections of clients are in package server; the upstreams' are in package upstream.
//
// One generation of the configuration takes the place of another in reconfigure.go. Every request ends with one policy.Outcome
// and one policy.Reason, from which Cache-Status, the access log and the metrics are printed.
package proxy
