package policy

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"cacheproxy/policy/httpcache"
)

// Kind is the name of a caching pattern. It is for printing: what a route does is what its other fields say, which the
// configuration sets as the pattern and the route's keys have it.
type Kind uint8

const (
	// Bypass sends every request to the origin; unsafe ones still invalidate. The zero value.
	Bypass Kind = iota
	// CacheAside serves copies and falls back to the origin whenever the store cannot answer.
	CacheAside
	// ReadThrough serves copies and refuses reads with 503 when the store is down.
	ReadThrough
	// WriteThrough fences what a write touches before the write is forwarded.
	WriteThrough
	// RefreshAhead renews copies that are read often before they expire.
	RefreshAhead
	// WriteBehind answers a write before the origin does, which gets it from a queue.
	WriteBehind
	// Leaderboard answers submissions of scores, and reads of what they come to, from records of its own.
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
	// Observe never serves a copy: every request goes to the origin and is compared with what would have been served.
	Observe
	// Off passes everything through.
	Off
)

// String is the name in the configuration, the admin API and the metric.
func (m Mode) String() string { return modeWords[m] }

// ParseMode is the mode that a word names, if it names one.
func ParseMode(word string) (Mode, bool) {
	i := slices.Index(modeWords[:], word)
	return Mode(max(i, 0)), i >= 0
}

var modeWords = [...]string{On: "on", Observe: "observe", Off: "off"}

// HostRule says which Host an upstream sees, and so whether the client's is part of the storage key.
type HostRule struct {
	// Literal is sent instead of the client's Host and is not keyed. Empty: the client's Host is passed on and keyed.
	Literal string
}

// Forwarding says which of the client's header fields a fill forwards.
type Forwarding uint8

const (
	// ForwardListed forwards a fixed list, what the route declares, and what Vary selects. The zero value.
	ForwardListed Forwarding = iota
	// ForwardAll forwards every end-to-end field but credentials: plain RFC 9111, which trusts Vary to name what matters. Fields
	// that reroute requests are keyed.
	ForwardAll
)

// OnWrite says what a successful write leaves behind.
type OnWrite uint8

const (
	// OnWriteInvalidate leaves nothing: the next read asks the origin. The zero value.
	OnWriteInvalidate OnWrite = iota
	// OnWriteStore keeps the write's response where its Content-Location names the target (RFC 9110 §8.7). On other routes
	// than those of write-through it has to say for how long, and the method has to be one whose responses can be kept.
	OnWriteStore
)

// FailedWrite says what a write leaves behind that the origin answered with an error of the server (5xx). Without an
// answer, the outcome is always unknown.
type FailedWrite uint8

const (
	// FailedInvalidate takes the outcome for unknown: what the write may have touched is gone. The zero value.
	FailedInvalidate FailedWrite = iota
	// FailedKeep believes the origin that nothing has changed, as RFC 9111 §4.4 does.
	FailedKeep
)

// Override names what an origin says that a route does not heed. Each is a relaxation that check warns about.
type Override uint16

const (
	OverrideMaxAge         Override = 1 << iota // max-age
	OverrideSMaxAge                             // s-maxage
	OverrideExpires                             // Expires
	OverrideNoCache                             // no-cache
	OverrideNoStore                             // no-store
	OverridePrivate                             // private
	OverrideMustRevalidate                      // must-revalidate and proxy-revalidate
	OverrideSetCookie                           // that Set-Cookie is for one client: it is kept and sent to all (RFC 9111 §7.3)
	OverrideMalformed                           // that parts of Cache-Control cannot be read: what can be read counts
)

// Has reports whether o contains all of x.
func (o Override) Has(x Override) bool { return o&x == x }

// Route is one compiled route of the configuration. It is immutable after Table is built from it, and safe for
// concurrent use. Durations of zero mean "none" unless the field says otherwise.
type Route struct {
	Name     string
	Patterns []Pattern // at least one
	// Where is what else has to hold of a request that is this route's: of a wildcard, query parameter, header field or cookie
	// the whole value has to match. What is not there is the empty text; lines of a field are one value, joined by ", " (RFC 9110
	// §5.3), and of several cookies or parameters of a name each has to match. A wildcard is for the patterns that have it.
	Where    map[Placeholder]*regexp.Regexp
	Clients  []netip.Prefix // and whom it has to be from, one of these networks; empty: anybody
	Upstream string         // an upstream's name
	Policy   Kind
	Mode     Mode // as configured; the one in force may have been changed at run time
	// ModeShare is the share of the requests that Mode is for, 0 to 1; the others go as with Off. Zero stands for all.
	ModeShare float64
	Host      HostRule

	Caches       bool // reads look for a copy, and fill one; false: every request goes to the origin
	RefusesReads bool // while the store is down, a read that no copy answers gets 503, and the origin does not see it
	FencesWrites bool // what a write touches is fenced before the write is forwarded
	// RefusesWrites says that a write gets 503 before the origin is touched where its invalidation cannot be recorded
	// beforehand. Else the write is forwarded, and the invalidation made up for later.
	RefusesWrites bool
	RenewsAhead   bool // copies that are read often are renewed before they expire; see RefreshAt and MinHits

	// Fingerprint stands for everything above and below that changes what a stored copy means. It is part of every
	// storage key, so that copies stored under another version of the configuration are misses.
	Fingerprint uint64

	Key            Template   // the copy's name; zero: none
	Tags           []Template // tags that every copy of the route carries
	TagHeaders     []string   // canonical names of the response fields that list tags; nil: those that are known
	Query          Query
	Headers        []string // canonical names of request header fields that are part of the storage key, sorted
	Cookies        []string // names of request cookies that are part of the storage key, sorted
	ForwardHeaders Forwarding
	// OnUnlisted says what becomes of requests with header fields that are in no class; see UnlistedHeaders.
	OnUnlisted Unlisted
	Content    ContentReads

	TTL                  time.Duration // lifetime when the origin names none
	Jitter               float64       // 0 to 1: the share of the lifetime that is taken off at random
	StaleWhileRevalidate time.Duration // when the origin names none (RFC 5861 §3)
	StaleIfError         time.Duration // when the origin names none (RFC 5861 §4)
	NegativeTTL          time.Duration // of 404 and 410, when the origin names none
	Override             Override
	StoreIf              StoreIf
	Client               ClientDirectives
	Targets              []string // canonical names of response fields for this cache; the first that applies is heeded before Cache-Control
	Range                RangeFetch
	Compression          httpcache.Coding // in which copies are held, where it is worth it; Identity: as they come

	IgnoreHeaders    []string // canonical names of request header fields that neither matter nor are forwarded on a fill; "X-Client-*" for a family
	IgnoreCookies    []string // names of request cookies that neither matter nor are forwarded on a fill; "_ga*" for a family
	IgnoreAllCookies bool
	// What clients get of the route's answers differs in these fields from what the origin said, whoever it comes from; copies hold
	// what the origin said. The values of SetFields, by canonical names, are never written to.
	SetFields       http.Header
	RemoveFields    []string // canonical names
	StripSetCookie  bool     // store the answer without its Set-Cookie
	ShareAuthorized bool     // requests with Authorization use the cache like any other

	RefreshAt float64 // RenewsAhead: share of the lifetime after which a copy is renewed
	MinHits   int     // RenewsAhead: reads since the last fill that make a copy worth renewing

	MaxWaiters  int           // requests that may wait for one fill
	WaitTimeout time.Duration // how long one waits before it goes to the origin itself

	// WriteKey names what a write is about: those of one key reach the origin in their order. Zero: its path.
	WriteKey Template
	// SerializesWrites has writes of one key that go through reach the origin one after the other, in all instances.
	SerializesWrites bool
	// Board names the board that a request is about. Zero: the route keeps none.
	Board       Template
	OnWrite     OnWrite
	FailedWrite FailedWrite
	FenceHold   time.Duration // how long a fence stands after a write whose outcome is unknown
	Invalidates *Invalidates  // nil: the target URI only
	Settle      time.Duration // of the upstream: for how long after a write its answers may still be those from before

	OnLeaseLoss  LeaseLoss
	LeaseLossMax time.Duration // LeaseLossServeStale: for how long; zero: not at all

	// FeedDownTTL is for how long a copy is fresh since it was fetched or confirmed while nobody tells of changes in the database
	// behind, unless the origin fails to confirm it; zero: as long as ever, since no database tells of any.
	FeedDownTTL time.Duration
}

// StoreIf narrows what is stored beyond what HTTP allows. The zero value stores all of it.
type StoreIf struct {
	ContentTypes []string // lower-case media types without parameters, "type/*" allowed; empty: any
	MinBytes     int64
}

// LeaseLoss says what reads do while this instance has no news of purges, because it cannot reach the log that it shares with
// others.
type LeaseLoss uint8

const (
	// LeaseLossOrigin uses no copies: what was purged meanwhile is not known. The zero value.
	LeaseLossOrigin LeaseLoss = iota
	// LeaseLossServeStale serves copies from memory for as long as Route.LeaseLossMax, whatever was purged meanwhile.
	LeaseLossServeStale
)

// Invalidates names what a successful write makes unusable besides its target URI, or that it does neither.
type Invalidates struct {
	Keys, Tags, URLs, Prefixes []Template
	Routes                     []string
	// Nothing says that a write makes nothing unusable, not even its target URI, and all else here is empty. RFC 9111 §4.4 has it otherwise.
	Nothing bool
	// Otherwise is used instead when a value that a template names is not in the request, the body cannot be read as JSON or
	// is too large, or the request names more than one request may. The configuration wants it where a template uses the body.
	Otherwise *Invalidates
}
