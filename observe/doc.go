// Package observe tells what happened to requests: Prometheus metrics and the access log. Both speak in the closed
// vocabularies of package policy, and neither allocates for a request that was answered from a copy and is not sampled.
//
//	metrics.go    the metrics and their registry
//	route.go      what is counted for each request, bound to a route beforehand
//	upstream.go   what is counted for each request to an origin
//	gauges.go     values that others hold and that are read when they are scraped
//	accesslog.go  one line for a sample of requests
package observe
