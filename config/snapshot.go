package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"cacheproxy/leaderboard/api"
	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// Snapshot is one valid configuration, immutable and safe for concurrent use. A request sees one Snapshot from
// beginning to end.
type Snapshot struct {
	Listen          string         // host:port of the data listener
	TLS             *TLS           // nil: plain HTTP
	H2C             bool           // HTTP/2 without TLS on the data listener
	HitPath         bool           // hits are answered below net/http
	TrustedProxies  []netip.Prefix // peers whose X-Forwarded-* and Forwarded are believed
	ProxyProtocol   []netip.Prefix // balancers that introduce clients by the PROXY protocol
	DrainDelay      time.Duration  // from SIGTERM, or not ready, to the end of accepting
	ShutdownTimeout time.Duration  // from the end of accepting to cutting off open requests
	Limits          server.Limits  // of the data listener
	MaxBody         int64          // of a request, in bytes; 0: any size
	TagHeaders      []string       // response fields that list tags, canonical
	CacheStatus     cacheStatus    // the content of Cache-Status for clients
	Admin           admin
	Log             Log
	Tracing         *tracing // nil: none
	Memory          memory
	Valkey          *Valkey            // nil: this process runs alone
	Records         *Records           // of boards; nil: no place for boards
	Postgres        *Postgres          // nil: no database reports changes
	Upstreams       []upstream.Options // at least one; requests that match no route go to the first
	Routes          []*policy.Route    // in the order of the file
	Table           *policy.Table      // of Routes
	// Behind has the rules of the routes that answer writes before their upstream does, by name.
	Behind map[string]*writebehind.Rules
	// Boards has the boards of the routes that keep boards, by name.
	Boards map[string]*api.Route
	// Settle has, by upstream, how long after a change the upstream's answers may still be from before the change.
	// Upstreams without such a delay are left out.
	Settle map[string]time.Duration

	// Warnings are relaxed safeties and other settings worth a second look, in the order of their lines.
	Warnings Problems

	// Sources are the files that the snapshot was made of.
	Sources Sources

	text []byte // of the file
	doc  *part  // for View, Waiting and Changes
}

// admin is the operator's listener.
type admin struct {
	Listen string
	TLS    *TLS    // nil: plain HTTP
	Tokens []Token // empty only where Listen is a loopback address
}

// Token lets its bearer do what Allow contains.
type Token struct {
	Name    string
	Secret  secret // empty: From and Sites identify the caller instead
	Allow   Permission
	From    []netip.Prefix // networks that callers must be in; empty: any
	Sites   []string       // hosts whose URLs the token may purge; empty, with Tags, and not AnyTags: all hosts
	Tags    []string       // beginnings of the tags that the token may purge
	AnyTags bool
}

// secret is a text that does not print itself.
type secret string

// String hides the secret; convert to string to use it.
func (secret) String() string { return "[redacted]" }

// GoString hides the secret from %#v.
func (secret) GoString() string { return "[redacted]" }

// MarshalText hides the secret from JSON and logs.
func (secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Permission is the set of what a token may do.
type Permission uint8

const (
	AllowPurge    Permission = 1 << iota // purge
	AllowMode                            // change the mode of routes, reload
	AllowRead                            // explain, configuration, profiles
	AllowPurgeAll                        // purge everything of a host or of all hosts; includes AllowPurge
	allowAll      = AllowPurge | AllowMode | AllowRead | AllowPurgeAll | 1<<7
)

// Has reports whether p contains all of x.
func (p Permission) Has(x Permission) bool { return p&x == x }

// LogFormat is the form of log lines.
type LogFormat uint8

const (
	LogJSON LogFormat = iota // zero value: one JSON object on each line
	LogText                  // logfmt
	LogOff                   // nothing, not even errors
)

// Log says what is logged.
type Log struct {
	Format LogFormat
	OTel   bool // fields have the names of OpenTelemetry's semantic conventions
	Level  slog.Level
	Hits   float64 // 0 to 1: the share of hits in the access log
	Others float64 // 0 to 1: the share of everything else; errors are always written
}

// memory bounds the copies in this process.
type memory struct {
	Size      int64 // bytes of all copies together
	MaxObject int64 // bytes of one copy; larger responses stream through unstored
	// GoLimit is the memory limit to set for the Go runtime, in bytes; 0: the runtime's limit stays unchanged.
	GoLimit int64
}

// Upstream is the upstream of that name.
func (s *Snapshot) Upstream(name string) (upstream.Options, bool) {
	i := slices.IndexFunc(s.Upstreams, func(o upstream.Options) bool { return o.Name == name })
	if i < 0 {
		return upstream.Options{}, false
	}
	return s.Upstreams[i], true
}

// LongestSettle is the longest settle time of all upstreams, for invalidations that may concern any upstream.
func (s *Snapshot) LongestSettle() (longest time.Duration) {
	for _, d := range s.Settle {
		longest = max(longest, d)
	}
	return longest
}
