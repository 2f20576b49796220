// Package transparency says the same to an API directly and through the built program, and compares what the API heard and what the client
// got, as messages of RFC 9110: order, case and framing of fields apart, and apart from what docs/caching.md says is added, changed or
// taken off.
//
//	make transparency
//
// The ways through the program are a route with policy: bypass, one in mode: off, one in mode: observe, no route at all, and a cached
// one (on), each over HTTP/1.1 and HTTP/2. On a cached route everything is said twice, so that the second answer may come from a copy:
// a fill has to be the client's request without what belongs to no shared fetch, and an answer what the API would have said to this
// very request, but for Age, Date and Cache-Status.
//
//	mix_test.go        what is said: methods, targets, fields, contents, credentials, conditions, ranges
//	api_test.go        the API: what it answers to each path, and what it has heard
//	client_test.go     the client, which adds nothing by itself
//	ways_test.go       the ways, and the comparison
//	changes_test.go    what may differ, held against the documents
//	live_test.go       what has to arrive before its end: streams, uploads, upgrades
//	grpc_test.go       the public interoperability tests of gRPC
//	grpcerror_test.go  what a call gets whose server breaks off
package transparency
