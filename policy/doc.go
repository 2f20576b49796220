// Package policy has the decisions of the proxy: which route a request belongs to, under which key its answer is
// stored, whether an answer may be shared or stored, for how long it is fresh, what a write invalidates, and the words
// for all of these in logs, metrics and headers. The rules of HTTP itself are in package httpcache below it, which
// knows no route.
//
// Everything here is pure: the same input gives the same output. There is no I/O, no clock, no randomness and no
// goroutine. Time and random numbers are parameters, and decisions are values that callers carry out.
//
// The path of a request through the package:
//
//	httpcache.ParseTarget            the target as it came
//	Table.Match                      which route, with which wildcards        table.go, pattern.go, cleanpath.go
//	PlanRequest                      read, write or pass, and why             plan.go
//	Query.Apply                      the query as keyed and forwarded         query.go
//	httpcache.ParseRanges            which part of the answer is wanted
//	Route.AppendKey                  the storage key                          key.go
//	Preferences.AppendTo             with what the client prefers most        preferred.go
//	Route.FillHeader                 what of the header a fill forwards       fillheader.go
//	Route.Judge                      may it be shared or stored, and why not  storable.go
//	                                 for how long: lifetimes, their jitter    lifetime.go
//	Route.Members                    what its copy can be purged by           names.go, template.go
//	Route.JudgePart                  may a 206 be kept as a part              partial.go
//	httpcache.RequestDirectives.Use  what the client makes of it
//	httpcache.Lifetime.State         fresh, stale, in which window
//	httpcache.NotModified            is 304 the answer
//	httpcache.MeetsPreconditions     If-Match and its like, If-Range
//	Route.Effects                    what a write makes unusable              effects.go
//	Table.Wider                      by which few names for many              wider.go
//	Status.Append                    one Outcome and one Reason, in words     outcome.go, reason.go, status.go
package policy
