// Package observe reports what happened to requests: Prometheus metrics, the access log and traces. All three use the
// closed vocabularies of package policy. Metrics and log allocate nothing for a request that a copy answered and that
// is not sampled; neither do traces that are off.
//
//	metrics.go    the metrics and their registry
//	class.go      answers by the hundred of their status
//	names.go      what requests went past the cache for, however many names strangers make up
//	preferred.go  whether copies differ that what clients prefer tells apart
//	route.go      what is counted for each request, bound to a route beforehand
//	upstream.go   what is counted for each request to an origin
//	fleet.go      the log and the server that several instances share
//	gauges.go     values that others hold and that are read when they are scraped
//	accesslog.go  one line for a sample of requests
//	plainline.go  most of these lines, without what slog does for all others
//	fields.go     other names for its fields
//	libraries.go  what libraries print
//	linewriter.go how lines get out without anybody waiting for them
//	tracer.go     OpenTelemetry traces: who makes spans, and how they hang together
//	span.go       what the spans say
//	spanqueue.go  how spans get out without anybody waiting for them
package observe
