// Package proxy is the path of a request.
//
//	ServeHTTP    match the route, plan, and go one of three ways     proxy.go
//	  read       look for a copy; deliver it, or fetch               read.go
//	    fetch    join or start a flight, wait for its header         fetch.go, flight.go
//	    fill     token → origin → may it be shared, stored           fill.go, pump.go, body.go
//	             below memory, before the origin                   recall.go
//	    deliver  a copy or a growing body to one client              deliver.go
//	  write      invalidate around the origin's work                 write.go
//	  pass       the request itself goes to the origin               through.go
//	  observe    pass, and compare with what would have been served  observe.go
//
// The connections of clients are below it, in package server; the upstreams' are in package upstream; package pass sends one
// request through between the two.
//
// Copies are renewed in the background by refresh.go. One generation of the configuration takes the place of another in
// reconfigure.go. Every request ends with one policy.Outcome and one policy.Reason, from which Cache-Status, the access log
// and the metrics are printed.
package proxy
