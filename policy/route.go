package policy

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"cacheproxy/policy/httpcache"
)

// Kind is the name of a caching pattern. It is only for printing: the other fields of a Route say what the route does,
// and the configuration sets them from the pattern and the route's keys.
type Kind uint8

const (
	// Bypass sends every request to the origin; unsafe ones still invalidate. The zero value.
	Bypass Kind = iota
	// CacheAside serves copies and falls back to the origin whenever the store cannot answer.
	CacheAside
	// ReadThrough serves copies and refuses reads with 503 when the store is down.
	ReadThrough
	// WriteThrough fences the members of a write before the write is forwarded.
	WriteThrough
	// RefreshAhead renews copies that are read often before they expire.
	RefreshAhead
	// WriteBehind answers a write before the origin does; the origin gets the write from a queue.
	WriteBehind
	// Leaderboard answers submissions of scores, and reads of rankings, from records of its own.
	Leaderboard
)

// String is the name in the configuration.
func (k Kind) String() string {
	return [...]string{"bypass", "cache-aside", "read-through", "write-through", "refresh-ahead", "write-behind", "leaderboard"}[k]
}

// Mode says how far a route's cache is switched on.
type Mode uint8

const (
	// On serves copies. The zero value.
	On Mode = iota
	// Observe never serves a copy: every request goes to the origin, and the answer is compared with the copy that
	// would have answered.
	Observe
	// Off passes everything through.
	Off
)

// String is the name in the configuration, the admin API and the metric.
func (m Mode) String() string { return modeWords[m] }

// ParseMode is the mode with a name. ok is false for any other word.
func ParseMode(word string) (Mode, bool) {
	i := slices.Index(modeWords[:], word)
	return Mode(max(i, 0)), i >= 0
}

var modeWords = [...]string{On: "on", Observe: "observe", Off: "off"}

// HostRule says which Host an upstream gets, and so whether the client's Host is part of the storage key.
type HostRule struct {
	// Literal is sent instead of the client's Host and is not keyed. Empty: the client's Host is passed on and keyed.
	Literal string
}

// Forwarding says which of the client's header fields a fill forwards.
type Forwarding uint8

const (
	// ForwardListed forwards a fixed list, the fields that the route declares, and the fields that Vary selects. The
	// zero value.
	ForwardListed Forwarding = iota
	// ForwardAll forwards every end-to-end field but credentials: plain RFC 9111, which trusts Vary to name the fields
	// that matter. Fields that reroute or reshape requests are keyed.
	ForwardAll
)

// OnWrite says what a successful write leaves in the cache.
type OnWrite uint8

const (
	// OnWriteInvalidate leaves nothing: the next read asks the origin. The zero value.
	OnWriteInvalidate OnWrite = iota
	// OnWriteStore keeps the write's response where its Content-Location names the target (RFC 9110 §8.7). On routes
	// other than write-through the response must also state its lifetime, and the method must be POST or PATCH.
	OnWriteStore
)

// FailedWrite says what a write leaves in the cache where the origin answered with an error of the server (5xx).
// Without an answer, the outcome is always unknown.
type FailedWrite uint8

const (
	// FailedInvalidate takes the outcome for unknown: the write's members are made unusable. The zero value.
	FailedInvalidate FailedWrite = iota
	// FailedKeep trusts the origin that nothing has changed, as RFC 9111 §4.4 does.
	FailedKeep
)

// Override names statements of an origin that a route ignores. Each is a relaxation, of which check warns.
type Override uint16

const (
	OverrideMaxAge         Override = 1 << iota // max-age
	OverrideSMaxAge                             // s-maxage
	OverrideExpires                             // Expires
	OverrideNoCache                             // no-cache
	OverrideNoStore                             // no-store
	OverridePrivate                             // private
	OverrideMustRevalidate                      // must-revalidate and proxy-revalidate
	OverrideSetCookie                           // that Set-Cookie is for one client (RFC 9111 §7.3): copies keep it
	OverrideMalformed                           // that parts of Cache-Control are malformed: the rest counts
)

// Has reports whether o contains all of x.
func (o Override) Has(x Override) bool { return o&x == x }

// Route is one compiled route of the configuration. It is immutable after Table is built from it, and safe for
// concurrent use. Durations of zero mean "none" unless the field says otherwise.
type Route struct {
	Name     string
	Patterns []Pattern // at least one
	// Where has the further conditions of a request of this route: the whole value of a wildcard, query parameter,
	// header field or cookie has to match. A missing value counts as the empty text. Lines of a field are one value,
	// joined by ", " (RFC 9110 §5.3). Of several cookies or parameters of one name each has to match. A condition on a
	// wildcard applies to the patterns that have the wildcard.
	Where    map[Placeholder]*regexp.Regexp
	Clients  []netip.Prefix // networks of which the client must be; empty: any client
	Upstream string         // an upstream's name
	Policy   Kind
	Mode     Mode // as configured; the mode in force may have been changed at run time
	// ModeShare is the share of the requests with this Mode, 0 to 1; the others go as with Off. Zero means all.
	ModeShare float64
	Host      HostRule

	Caches       bool // reads look for a copy, and fill one; false: every request goes to the origin
	RefusesReads bool // while the store is down, a read without a usable copy gets 503 and does not reach the origin
	FencesWrites bool // a fence covers the members of a write before the write is forwarded
	// RefusesWrites says that a write whose invalidation cannot be recorded beforehand gets 503 and does not reach the
	// origin. Otherwise the write is forwarded, and its invalidation is made up for later.
	RefusesWrites bool
	RenewsAhead   bool // frequently read copies are renewed before they expire; see RefreshAt and MinHits

	// Fingerprint is a hash of all fields that change what a stored copy means. It is part of every storage key, so
	// that copies of another version of the configuration are misses.
	Fingerprint uint64

	Key            Template   // the copy's name; zero: none
	Tags           []Template // tags of every copy of the route
	TagHeaders     []string   // canonical names of the response fields that list tags; nil: knownTagHeaders
	Query          Query
	Headers        []string // canonical names of request header fields that are part of the storage key, sorted
	Cookies        []string // names of request cookies that are part of the storage key, sorted
	ForwardHeaders Forwarding
	// OnUnlisted says what happens to requests with unlisted header fields; see UnlistedHeaders.
	OnUnlisted Unlisted
	Content    ContentReads

	TTL                  time.Duration // lifetime where the origin states none
	Jitter               float64       // 0 to 1: the share of the lifetime that is subtracted at random
	StaleWhileRevalidate time.Duration // where the origin states none (RFC 5861 §3)
	StaleIfError         time.Duration // where the origin states none (RFC 5861 §4)
	NegativeTTL          time.Duration // of 404 and 410, where the origin states none
	Override             Override
	StoreIf              StoreIf
	Client               ClientDirectives
	Targets              []string // canonical names of fields that replace Cache-Control; the first that applies
	Range                RangeFetch
	Compression          httpcache.Coding // of held copies, where worthwhile; Identity: as the origin sends them

	IgnoreHeaders    []string // canonical names of request header fields that neither matter nor are forwarded on a fill; "X-Client-*" for a family
	IgnoreCookies    []string // names of request cookies that neither matter nor are forwarded on a fill; "_ga*" for a family
	IgnoreAllCookies bool
	// SetFields and RemoveFields change the header that clients get of any answer of the route; copies keep the
	// origin's header. SetFields has canonical names, and nobody writes to its values.
	SetFields       http.Header
	RemoveFields    []string // canonical names
	StripSetCookie  bool     // store the answer without its Set-Cookie
	ShareAuthorized bool     // requests with Authorization use the cache like any other

	RefreshAt float64 // RenewsAhead: share of the lifetime after which a copy is renewed
	MinHits   int     // RenewsAhead: reads since the last fill that make a copy worth renewing

	MaxWaiters  int           // requests that may wait for one fill
	WaitTimeout time.Duration // how long a request waits before it goes to the origin itself

	// WriteKey names the subject of a write: writes of one key reach the origin in their order. Zero: the write's path.
	WriteKey Template
	// SerializesWrites has forwarded writes of one key reach the origin one after the other, across all instances.
	SerializesWrites bool
	// Board names the board of a request. Zero: the route has none.
	Board       Template
	OnWrite     OnWrite
	FailedWrite FailedWrite
	FenceHold   time.Duration // how long a fence stands after a write whose outcome is unknown
	Invalidates *Invalidates  // nil: the target URI only
	Settle      time.Duration // of the upstream: how long after a write its answers may still show the state before

	OnLeaseLoss  LeaseLoss
	LeaseLossMax time.Duration // LeaseLossServeStale: for how long; zero: not at all

	// FeedDownTTL is how long after its fetch or confirmation a copy is fresh while the feed of the database's changes
	// is down, unless the origin fails to confirm the copy. Zero: no limit, since no database reports changes.
	FeedDownTTL time.Duration
}

// StoreIf narrows which answers are stored, beyond HTTP. The zero value adds no restriction.
type StoreIf struct {
	ContentTypes []string // lower-case media types without parameters, "type/*" allowed; empty: any
	MinBytes     int64
}

// LeaseLoss says what reads do while this instance has no news of purges, because it cannot reach the log of the fleet.
type LeaseLoss uint8

const (
	// LeaseLossOrigin uses no copies, since purges may be unknown. The zero value.
	LeaseLossOrigin LeaseLoss = iota
	// LeaseLossServeStale serves copies from memory for as long as Route.LeaseLossMax, despite unknown purges.
	LeaseLossServeStale
)

// Invalidates names the members that a successful write makes unusable besides its target URI, or says that the write
// makes nothing unusable.
type Invalidates struct {
	Keys, Tags, URLs, Prefixes []Template
	Routes                     []string
	// Nothing says that a write makes nothing unusable, not even its target URI, contrary to RFC 9111 §4.4. All other
	// fields are then empty.
	Nothing bool
	// Otherwise applies when a value of a template is not in the request, the body cannot be read as JSON or is too
	// large, or the body has more values than one request may name. The configuration requires Otherwise where a
	// template uses the body.
	Otherwise *Invalidates
}
