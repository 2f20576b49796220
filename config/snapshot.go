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

// Snapshot is one valid configuration. It is immutable and safe for concurrent use; a request sees one Snapshot from
// beginning to end.
type Snapshot struct {
	Listen          string         // host:port of the data listener
	TLS             *TLS           // nil: plain HTTP
	H2C             bool           // HTTP/2 without TLS on the data listener
	HitPath         bool           // hits are answered below net/http
	TrustedProxies  []netip.Prefix // whose X-Forwarded-* and Forwarded are believed
	ProxyProtocol   []netip.Prefix // who introduces clients by the PROXY protocol
	DrainDelay      time.Duration  // from SIGTERM, or not ready, to the end of accepting
	ShutdownTimeout time.Duration  // from the end of accepting to cutting off what is still at work
	Limits          server.Limits  // of the data listener
	MaxBody         int64          // of a request, in bytes; 0: any size
	TagHeaders      []string       // in which responses list tags, canonical
	CacheStatus     cacheStatus    // what clients are told in Cache-Status
	Admin           admin
	Log             Log
	Tracing         *tracing // nil: none
	Memory          memory
	Valkey          *Valkey            // nil: this process runs alone
	Records         *Records           // of boards; nil: there is nowhere to keep them
	Postgres        *Postgres          // nil: no database says what has changed
	Upstreams       []upstream.Options // at least one; what matches no route goes to the first
	Routes          []*policy.Route    // in the order of the file
	Table           *policy.Table      // of Routes
	// Behind says, of the routes that answer writes before their upstream does, how; by name.
	Behind map[string]*writebehind.Rules
	// Boards says, of the routes that keep boards, which and how; by name.
	Boards map[string]*api.Route
	// Settle says, of the upstreams that need it, for how long after a change their answers may still be those from before.
	Settle map[string]time.Duration

	// Warnings are relaxed safeties and other things worth a second look, in the order of their lines.
	Warnings Problems

	// Sources are the files that it was made of.
	Sources Sources

	text []byte // of the file
	doc  *part  // for what is shown, and for what changes
}

// admin is the operator's listener.
type admin struct {
	Listen string
	TLS    *TLS    // nil: plain HTTP
	Tokens []Token // empty only where Listen is a loopback address
}

// Token lets its bearer do what Allow says.
type Token struct {
	Name    string
	Secret  secret // empty: From stands for it, and Sites bind it
	Allow   Permission
	From    []netip.Prefix // where callers have to be; empty: anywhere
	Sites   []string       // whose URLs may be purged; empty, with Tags, and not AnyTags: of all
	Tags    []string       // how the tags begin that may be
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

// Permission is what a token may do: a set.
type Permission uint8

const (
	AllowPurge    Permission = 1 << iota // purge
	AllowMode                            // change the mode of routes, reload
	AllowRead                            // explain, configuration, profiles
	AllowPurgeAll                        // purge everything of a host or of all; and what AllowPurge is for
	allowAll      = AllowPurge | AllowMode | AllowRead | AllowPurgeAll | 1<<7
)

// Has reports whether p contains all of x.
func (p Permission) Has(x Permission) bool { return p&x == x }

// LogFormat is the form of log lines.
type LogFormat uint8

const (
	LogJSON LogFormat = iota // one JSON object per line. The zero value.
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
	Size      int64 // bytes of all copies
	MaxObject int64 // bytes of one; larger responses stream through unstored
	// GoLimit is the memory limit to set for the Go runtime, in bytes; 0: leave it alone.
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

// LongestSettle is the longest of all upstreams: for invalidations that may be about any of them.
func (s *Snapshot) LongestSettle() (longest time.Duration) {
	for _, d := range s.Settle {
		longest = max(longest, d)
	}
	return longest
}
