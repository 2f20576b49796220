package policy

// Reason says why a request was not answered from a copy, or why an answer was not stored. Every such case has a name,
// and the vocabulary is closed. The zero value is NoReason. Reasons that only this package sets are not exported.
type Reason uint8

const (
	NoReason Reason = iota

	// Why the request itself went past the cache.

	NoRoute         // no route matches
	Observed        // the route is observed, and a copy or a board would have answered
	UncleanPath     // empty, dot or dot-dot segments: no route is tried
	routeBypass     // the route's policy is bypass
	ModeOff         // the route is switched off
	ModeShare       // the route's mode is for a share of the requests, and this one is outside
	MethodUnsafe    // a write
	methodOther     // safe, but not GET or HEAD
	RequestBody     // a GET or HEAD with content
	Authorization   // the request carries credentials
	cookie          // the request carries a cookie that the route does not ignore or declare
	queryUnlisted   // a query parameter that the route does not list
	queryMalformed  // a query that has no certain reading
	HeaderUnlisted  // a request header field that the route does not list
	RangeRequest    // a request for a part that no copy can give
	Precondition    // If-Match or If-Unmodified-Since that no copy meets: the origin has to answer
	codingRefused   // the request accepts only answers with a coding, where fills ask for answers without one
	upgrade         // a request to switch protocols
	HitForMiss      // the last answer to this key could not be shared
	WaitersFull     // more requests wait for this key than the route allows
	WaitTimeout     // the request waited for another request's fill for too long
	ClientDirective // the client's Cache-Control demands more than the copy is good for
	Fenced          // a write to the resource is under way

	// Results of a look-up that found no usable copy.

	URIMiss     // nothing stored under this key
	VaryMiss    // stored, but for other request header fields
	Expired     // stored, but not fresh any more
	Purged      // stored, but invalidated
	SoftPurged  // stored, but marked stale by a soft purge
	Unconfirmed // stored, but the resource may have changed, and the origin has to confirm the copy
	HeadMiss    // a HEAD request without a stored GET
	LeaseLapsed // the log gives no news of purges: no copy is used, or only as the route allows
	PartMiss    // stored, but without all requested parts
	FeedDown    // stored, but the database that reports changes has been silent for longer than the copy may be trusted
	Renewal     // stored, and fetched anew in the background; of requests to the origin only

	// Why an answer was not stored.

	noStore          // Cache-Control: no-store
	private          // Cache-Control: private
	setCookie        // the answer sets a cookie
	authorizedShare  // answer to an authorized request without permission to share (RFC 9111 §3.5)
	statusNotStored  // a status that is not stored on this route
	varyStar         // Vary: *
	noFreshness      // neither the origin nor the route gives a lifetime, and no validator
	clockBehind      // on arrival the answer was past its lifetime by its Date
	TooLarge         // larger than max_object
	stream           // the answer has no foreseeable end: an event stream, a gRPC call
	contentTypeOther // not a content type of store_if
	TooSmall         // fewer bytes than store_if.min_bytes
	TooManyMembers   // more tags or path segments than a copy may have
	Incomplete       // the body ended early
	Partial          // 206 or Content-Range
	Outdated         // invalidated during the fetch
	MemoryFull       // fills in flight hold all the memory that they may
	codingUnasked    // the answer has a coding, although the fill asked for none
	malformedHeader  // contradictory fields that decide on caching

	cacheControlMalformed // a Cache-Control that has no certain reading

	// Why there is no answer from the origin.

	OriginError      // the origin could not be reached or broke off
	OriginTimeout    // the origin did not answer in time
	OriginStatus     // the origin answered with an error status
	QueueFull        // no place at the origin, nor in its queue
	QueueTimeout     // no place at the origin within the queue's deadline
	SerialFull       // too many writes of the same key wait for their turn
	SerialTimeout    // earlier writes of the same key did not end in time
	ClientGone       // the client left before there was an answer
	Laggard          // the client read so slowly that it delayed others who shared the answer, and was cut off
	OnlyIfCached     // Cache-Control: only-if-cached, and no copy
	StoreUnavailable // the route's policy forbids going on without the store
	NotConfirmed     // an invalidation could not be confirmed
	Panic            // a defect; the log has the stack

	reasons
)

var reasonNames = [reasons]string{
	NoReason: "", NoRoute: "no-route", Observed: "observe", UncleanPath: "unclean-path", routeBypass: "bypass", ModeOff: "mode-off", ModeShare: "mode-share",
	MethodUnsafe: "method", methodOther: "method-other", RequestBody: "request-body", Authorization: "authorization",
	cookie: "cookie", queryUnlisted: "query-unlisted", queryMalformed: "query-malformed", HeaderUnlisted: "header-unlisted", RangeRequest: "range", Precondition: "precondition", codingRefused: "coding-refused",
	upgrade: "upgrade", HitForMiss: "hit-for-miss", WaitersFull: "waiters-full", WaitTimeout: "wait-timeout", ClientDirective: "client-cache-control", Fenced: "fenced",
	URIMiss: "uri-miss", VaryMiss: "vary-miss", Expired: "expired", Purged: "purged", SoftPurged: "soft-purged", Unconfirmed: "unconfirmed", HeadMiss: "head-miss", LeaseLapsed: "lease-lapsed", PartMiss: "part-miss", FeedDown: "feed-down", Renewal: "renewal",
	noStore: "no-store", private: "private", setCookie: "set-cookie", authorizedShare: "authorized", statusNotStored: "status",
	varyStar: "vary-star", noFreshness: "no-freshness", clockBehind: "clock-behind", TooLarge: "too-large", stream: "stream", contentTypeOther: "content-type",
	TooSmall: "too-small", TooManyMembers: "too-many-members", Incomplete: "incomplete", Partial: "partial",
	Outdated: "outdated", MemoryFull: "memory-full", malformedHeader: "malformed-header", codingUnasked: "coding-unasked",
	cacheControlMalformed: "cache-control-malformed",
	OriginError:           "origin-error", OriginTimeout: "origin-timeout", OriginStatus: "origin-status", QueueFull: "queue-full",
	QueueTimeout: "queue-timeout", SerialFull: "serial-full", SerialTimeout: "serial-timeout", ClientGone: "client-gone", Laggard: "laggard", OnlyIfCached: "only-if-cached", StoreUnavailable: "store-down",
	NotConfirmed: "not-confirmed", Panic: "panic",
}

// String is the word used in Cache-Status detail, in logs and as a metric label.
func (r Reason) String() string { return reasonNames[r] }
