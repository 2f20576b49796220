// Package httpcache has the rules of HTTP for caches, and no rules of a configuration: a reader can compare each file
// with the section of the RFC that the file cites. The package knows no route and no policy, but targets, headers,
// statuses, methods and times.
//
// Everything here is pure: the same input gives the same output. There is no I/O, no clock, no randomness and no
// goroutine.
//
//	RFC 9110  coding.go acceptencoding.go compression.go conditional.go precondition.go date.go range.go partial.go
//	          method.go maxforwards.go retryafter.go hopbyhop.go contentlocation.go passing.go fields.go forwarded.go negotiation.go
//	          preferred.go
//	RFC 9111  directives.go requestdirectives.go lifetime.go freshness.go statuscode.go storedheader.go vary.go selector.go head.go
//	RFC 9112  target.go
//	RFC 9211  cachestatus.go
//	RFC 9213  targeted.go
//	RFC 9875  groups.go
//	RFC 5861  freshness.go, requestdirectives.go
//	RFC 6265  cookiefield.go, cookies.go
//	RFC 7239  forwarded.go, forwardedby.go
//	RFC 3986  escape.go, form.go, reference.go
//
// No-Vary-Search is in novarysearch.go, the CORS protocol in cors.go, W3C Trace Context in tracecontext.go.
package httpcache
