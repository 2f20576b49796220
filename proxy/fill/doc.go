// Package fill fetches and stores what belongs to no client: the answer of an origin that many requests share. It knows neither
// the requests of clients nor how they are answered.
//
//	filler.go      Filler, which package proxy holds; what it works with
//	request.go     Request, what a fill needs to know; route.go, learned.go: of the route; question.go: whom its answer concerns
//	join.go        when a request may join a flight, or leads one, and how it waits for the header of the answer
//	flight.go      flights, which requests share
//	running.go     one fill: the tiers, the origin, the header, the body
//	lookuptiers.go   below memory, before the origin; claim.go: one instance for all; recall.go: without a fill
//	roundtrip.go     token, request, answer
//	header.go        who may have the answer, by its header
//	pump.go          the body, to its end; body.go: the body as it grows; reader.go: who follows it; brokenoff.go: whom its breaking off concerns
//	response.go    Response, which a flight publishes
//	answer.go      the one way to a copy; copy.go, standin.go, novarysearch.go: its steps
//	prefers.go     what clients prefer, as keys have it; preferred.go: copies that differ in that, and whether they differ in anything else
//	parts.go       parts of a response of which not all has come
//	tiers.go       copies on their way to and from the tiers below memory
//	renew.go       copies that are fetched anew in the background
//
// # A flight
//
// The first request for a key opens a flight and leads it; those that come after it join. These are the states of a flight, and
// what a request does that comes in each:
//
//	open       the leader looks into the store once more, and builds its request    joins, and waits
//	running    the tiers are asked, a place at the origin is waited for             joins, and waits
//	sent       the token is taken, the origin works                                 joins if nothing known was invalidated since the token
//	published  the header of the answer is there, the body grows                    follows the body if no member was invalidated since the token
//	closed     the copy is stored, or will not be                                   finds the copy, or opens a flight
//
// A flight whose body is at hand with its header is published when it is closed.
//
// A flight takes its steps under the lock of its shard; no look-up, no header and no network is handled under it. A request that
// may not join opens the next flight in the place of the one before, which goes on for those who wait for it.
//
// # Interleavings
//
// The rules of this package are about two goroutines that meet in the wrong order. R and S are requests for the same key, F is the
// fill that R leads, P a purge of what they ask for.
//
// A copy comes between look-up and flight. S looks into the store and finds nothing; F stores its copy and closes its flight; S
// finds no flight and would fetch what has just come. So whoever opens a flight looks once more when it is open (Join). F closes
// its flight after it has stored its copy: S finds the flight, or the flight is closed and then the copy is there.
//
// A leader looks while others join. S joins the flight that R has opened, R finds a copy and fetches nothing. S would wait for
// nobody. So R always hands over a request or none, also when it panics, and a flight without a request ends with
// Response.Again: S looks into the store itself, by its own rules.
//
// A purge between token and answer. F takes its token; P is confirmed; S comes. The origin may have read what it answers before
// P. S must not have it, because whoever purged has been told that it is gone, and R may, which was there before. So S does not
// join when a member that is known was invalidated since the token. Members that only the answer names (tags) are not known while
// F is sent: S joins, and asks again when the header is there (package proxy).
//
// The token comes before the request. Taken after the answer, it would stand behind a P that came while the origin worked, and
// the copy would outlive P. Taken before the place at the origin is there, it would be older than it need be: after minutes in a
// queue nobody could share the answer.
//
// A confirmation of what was purged. R found copy C and asks the origin to confirm it; P comes before the token. The origin's 304
// says that its own data is as it was, not that C is: C would come back with a stamp behind P. So C is checked once more after
// the token is taken, and R asks for the whole if C is purged (roundTrip).
//
// A request that cannot know. Without a lease, P may be confirmed to others and not be known here. S comes after P, and F has its
// token from before. Nothing here tells that F is too old. So S shares only what is sent after S came: it opens the next flight,
// which waits until F has its answer, and all who come meanwhile join that one. The origin sees one request of a key at a time.
//
// An answer that breaks off. F breaks off because of what R forwards, which S does not. S learns of the end and asks again; were what has
// happened not noted before, S would join the next fetch that R leads. And R2, which asks as R does, would join F after its end, if F were
// open still. So F notes it and closes its flight before its readers learn of the end (pump).
//
// An invalidation between the ledger's word and the store. Put asks the ledger; P is applied; put stores. The copy's stamp stands
// before P, and is checked at every use (put).
//
// An instance between copy and claim. F of instance 1 stores its copy in memory and gives its claim back; S of instance 2 claims,
// finds nothing in the shared tier, and asks the origin. So the claim goes with the copy and is given back when it is in the tier
// (handOver). Instance 2 looks into the tier after it has the claim, and not only before (claimed).
//
// A published response. Requests read it under no lock, while F goes on. It is passed by value, and what F changes in its own is
// seen by nobody (Response).
//
// # References
//
// Copies are handles, whose references are counted (package store). A fill outlives the request that set it off: so Join and Alone take
// references to Base and Previous while that one has its own, the fill adds those that it comes upon, and end gives all back. A
// renewal in the queue has one, and so has a copy on its way to the tiers. The body that a 304 confirms is read in the copy itself, to
// which each Reader has a reference. Reader R has been told of the copy, and it is replaced and free before R attaches: then R is told
// that the beginning is gone, and its request looks again.
//
// # Locks and goroutines
//
// The lock of a shard of flights is taken first, those of singleflight and of the ledger under it. The lock of a body is taken
// under none. Each fill has a goroutine up to the header of the answer: the one on which its leader asks singleflight, which is kept for the
// next fill, or one of singleflight's where somebody who joins comes first. A body that is at hand with the header is read and stored there,
// before the response is published; any other has a goroutine of its own. Fills
// are counted by tasks, for which Close waits. Run has up to renewalWorkers goroutines for the renewals of each upstream and one that watches the tiers.
package fill
