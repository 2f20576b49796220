// Package fill fetches and stores answers that belong to no single client: the answer of an origin that many requests
// share. The package knows neither the requests of clients nor how they are answered.
//
//	filler.go      Filler, which package proxy holds, and the parts that a Filler works with
//	request.go     Request, the input of a fill; route.go, learned.go: its route; question.go: whom its answer concerns
//	join.go        when a request may join or lead a flight, and how a request waits for the header of the answer
//	flight.go      flights, which requests share
//	running.go     one fill: the tiers, the origin, the header, the body
//	lookuptiers.go   below memory, before the origin; claim.go: one instance for all; recall.go: without a fill
//	roundtrip.go     token, request, answer
//	header.go        who may have the answer, by its header; hints.go: informational responses before the header
//	pump.go          the body, to its end; body.go: the growing body; reader.go: its readers; brokenoff.go: whom
//	                 its breaking off concerns
//	response.go    Response, which a flight publishes
//	answer.go      the one way to a copy; copy.go, standin.go, novarysearch.go: its steps
//	prefers.go     the preferences of clients in keys; preferred.go: copies that differ in preferences, and whether
//	               the copies differ in anything else
//	parts.go       parts of a response that is not complete
//	tiers.go       copies on their way to and from the tiers below memory
//	renew.go       copies that are fetched anew in the background
//	tasks.go       the goroutines of fills; trace.go: the traces of fills
//
// # A flight
//
// The first request for a key opens a flight and leads the flight. Later requests for the key join. These are the
// states of a flight. For each state, the last column says what a request does that comes in that state:
//
//	open       the leader looks into the store once more,   joins, and waits
//	           and builds its request
//	running    the fill asks the tiers, and waits for a     joins, and waits
//	           place at the origin
//	sent       the token is taken, the origin works         joins if no known member was invalidated since the token
//	published  the header has come, the body grows          follows the body if no member was invalidated since the token
//	closed     the copy is stored, or will not be           finds the copy, or opens a flight
//
// A flight whose body is at hand with the header is published and closed in one step.
//
// A flight changes its state under the lock of its shard. No look-up, no work on headers and no network access happens
// under that lock. A request that may not join opens the next flight in the place of the flight before. The flight
// before goes on for the requests that wait for its answer.
//
// # Interleavings
//
// The rules of this package are about two goroutines that meet in the wrong order. R and S are requests for the same
// key, F is the fill that R leads, P is a purge of the resource that R and S ask for.
//
// A copy comes between look-up and flight. S looks into the store and finds nothing. F stores its copy and closes its
// flight. S finds no flight and would fetch the copy that F has just stored. So a request that opens a flight looks
// into the store once more when the flight is open (Join). F closes its flight after F has stored its copy. So S finds
// the open flight, or no flight and the copy.
//
// A leader looks while others join. S joins the flight that R has opened. R finds a copy and fetches nothing. S would
// wait for an answer that never comes. So R always hands over a request or nil, also when R panics. A flight that gets
// nil ends with Response.Again: S looks into the store itself, by its own rules.
//
// A purge between token and answer. F takes its token; P is confirmed; S comes. The origin may have read the data of
// its answer before P. S must not have the answer, because the purging client has been told that the old data is gone.
// R may have the answer, because R came before P. So S does not join when a known member was invalidated since the
// token. Members that only the answer names (tags) are not known while F is sent. S joins, and asks again when the
// header has come (package proxy).
//
// The token comes before the request. A token from after the answer would stand behind a P that came while the origin
// worked, and the copy would outlive P. A token from before the wait for a place at the origin would be older than
// needed: after minutes in a queue no later request could share the answer.
//
// A confirmation of a purged copy. R found copy C, and F asks the origin to confirm C. P comes before the token. The
// origin's 304 says that the origin's own data is unchanged, not that C is valid: C would come back with a stamp behind
// P. So F checks C once more after the token is taken, and asks for the whole answer if C is purged (roundTrip).
//
// A request that cannot know. Without a lease, P may be confirmed to others and be unknown on this instance. F has its
// token from before P, and S comes after P. Nothing on this instance tells that F is too old. So S shares only a flight
// that is sent after S came. S opens the next flight, which waits until F has its answer. All requests that come
// meanwhile join that next flight. The origin sees one request of a key at a time.
//
// An answer that breaks off. F breaks off because of something that R forwards and S does not. S learns of the end and
// asks again. If F had not marked the break by then, S would join the next fetch that R leads. And R2,
// which has the same question as R, would join F after the end if the flight of F were still open. So F marks the break
// and closes its flight before the readers learn of the end (pump).
//
// An invalidation between the ledger's answer and the store. put asks the ledger; P is applied; put stores the copy.
// The copy's stamp stands before P, and every use of the copy checks the stamp (put).
//
// An instance between copy and claim. F of instance 1 stores its copy in memory and releases its claim. S of instance 2
// claims, finds nothing in the shared tier, and asks the origin. So the claim goes with the copy, and is released when
// the copy is in the tier (handOver). Instance 2 looks into the tier again after the claim, and not only before
// (claimed).
//
// A published response. Requests read the response under no lock while F goes on. Response is passed by value, and no
// request sees the changes that F makes in its own value (Response).
//
// # References
//
// Copies are handles with counted references (package store). A fill outlives the request that set off the fill. So
// Join and Alone take references to Base and Previous while that request has its own. The fill adds references to the
// copies that the fill finds, and end releases all. A renewal in the queue has a reference to its copy, and so has a
// write of a copy to the tiers. Readers read the body that a 304 confirms in the copy itself. Each Reader has a
// reference to that copy. The copy may be replaced and free between the published response and R's attach. Then attach
// tells R that the beginning is gone, and R looks into the store again.
//
// # Locks and goroutines
//
// A goroutine that needs several locks takes the lock of a shard of flights first, and those of singleflight and of the
// ledger under that lock. No other lock is held when a goroutine takes the lock of a body. Each fill has a goroutine up
// to the header of the answer. Usually that is the goroutine on which the leader asks singleflight, which is kept for
// the next fill. If a joining request asks singleflight first, that is a goroutine of singleflight. The same goroutine
// reads and stores a body that is at hand with the header, before the response is published. Any other body has a
// goroutine of its own. tasks counts the fills, and Close waits for them. Run has up to renewalWorkers goroutines for
// the renewals of each upstream, and one goroutine that watches the tiers.
package fill
