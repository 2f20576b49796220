package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
)

// compile checks the document and turns it into a Snapshot. The Snapshot must not be used when the report has problems.
// Each section has a compile function, which returns the section's settings and reports problems to the section's part.
func compile(doc *part, beside *files) *Snapshot {
	checkKeys(doc)
	log, limits, admin := doc.Part("log"), doc.Part("limits"), doc.Part("admin")
	s := &Snapshot{
		doc: doc, Listen: doc.text("listen"), DrainDelay: doc.duration("drain_delay"), ShutdownTimeout: doc.duration("shutdown_timeout"),
		CacheStatus: read[cacheStatus](doc, "cache_status"), H2C: doc.flag("h2c"), HitPath: doc.flag("hit_path"), MaxBody: limits.bytes("max_body"),
		Log:    Log{read[LogFormat](log, "format"), read[bool](log, "fields"), read[slog.Level](log, "level"), log.share("hits"), log.share("others")},
		Limits: compileLimits(limits), TLS: compileListenerTLS(doc.Part("tls"), beside), TrustedProxies: compileNetworks(doc, "trusted_proxies"),
		ProxyProtocol: compileNetworks(doc, "proxy_protocol"),
		Admin:         compileAdmin(admin, beside), Tracing: compileTracing(doc.Part("tracing")), Memory: compileMemory(doc.Part("memory")),
		Valkey: compileValkey(doc.Part("valkey"), beside),
	}
	s.Records = compileRecords(doc.Part("records"), s.Valkey, beside)
	// With port 0, the system picks another port for each listener.
	if s.Listen == s.Admin.Listen && !strings.HasSuffix(s.Listen, ":0") && !doc.spoiled("listen") {
		admin.problem("listen", "is the address of listen; give the admin listener one of its own, such as 127.0.0.1:8081")
	}
	s.TagHeaders = compileTagHeaders(doc)
	if s.H2C && s.TLS != nil {
		doc.problem("h2c", "is HTTP/2 without TLS, but tls is set, which brings HTTP/2 by itself; remove one of them")
	}
	if doc.has("cache_status_key") {
		doc.warn("cache_status_key", "is replaced by cache_status, and the next release refuses it; write cache_status: key in its place, or remove it")
	}
	if doc.flag("cache_status_key") {
		if doc.has("cache_status") {
			doc.problem("cache_status_key", "is cache_status: key in other words; remove it")
		}
		s.CacheStatus = cacheStatus{Key: true}
		doc.setInForce("cache_status", s.CacheStatus)
	}
	if s.CacheStatus.Key {
		at := "cache_status"
		if !doc.has(at) {
			at = "cache_status_key"
		}
		doc.warn(at, "shows storage keys to every client in Cache-Status; remove it unless you are debugging")
	}
	if doc.flag("reuse_port") {
		doc.warn("reuse_port", "has no effect, and the next release refuses it; remove it. To restart without losing a request let the service manager keep the socket (LISTEN_FDS), or stop one of several instances at a time")
	}
	limitsOfSeveral := compileSharedLimits(doc, s.Valkey != nil)
	s.Settle = map[string]time.Duration{}
	for _, part := range doc.sections("upstreams") {
		s.Upstreams = append(s.Upstreams, compileUpstream(part, beside, limitsOfSeveral, s.Valkey != nil))
		if d := part.duration("settle"); d > 0 {
			s.Settle[part.text("name")] = d
		}
	}
	reportDuplicates(doc.sections("upstreams"), "upstream")
	s.Postgres = compilePostgres(doc.Part("postgres"), s)
	s.Routes = compileRoutes(doc, s)
	reportIdle(doc, s)
	warnOfLoneFeed(doc, s)
	if len(doc.report.problems) == 0 {
		var err error
		if s.Table, err = policy.NewTable(s.Routes); err != nil {
			doc.problem("routes", "%w", err)
		}
		s.Postgres.feedRoutes(s)
	}
	s.Warnings = doc.report.warnings.sorted()
	return s
}

// checkKeys checks the keys of a section, and of the sections in it, against the table: required keys and refused
// values. The entries of lists are checked by their compile functions.
func checkKeys(p *part) {
	for i := range p.keys {
		k := &p.keys[i]
		section, is := p.parts[k.name]
		switch {
		case p.spoiled("") || p.spoiled(k.name):
		case is && section.written():
			checkKeys(section)
		case k.required != "" && k.missing(p):
			p.spoil(k.name, "%s", k.required)
		case k.refuse != nil && p.has(k.name):
			if fault := k.refuse(p.value(k)); fault != "" {
				p.spoil(k.name, "%s", fault)
			}
		}
	}
}

// missing reports whether the key has no value.
func (k *key) missing(p *part) bool {
	if k.is.shape == mappings {
		return len(p.lists[k.name]) == 0
	}
	value, written := p.values[k.name]
	texts, _ := value.([]string)
	return !written || k.is.none(value) || len(texts) == 1 && texts[0] == "" && !p.spoiled(index(k.name, 0))
}

func compileLimits(doc *part) server.Limits {
	limits := server.Limits{
		ReadHeaderTimeout: doc.duration("read_header_timeout"), IdleTimeout: doc.duration("idle_timeout"),
		BodyTimeout: doc.duration("body_timeout"), WriteTimeout: doc.duration("write_timeout"),
		MaxHeaderBytes: int(doc.bytes("max_header_bytes")), MaxConnections: doc.number("max_connections"), MaxPerClient: doc.number("max_connections_per_client"),
	}
	if limits.MaxPerClient > limits.MaxConnections {
		doc.problem("max_connections_per_client", "is more than max_connections, so that it limits nothing; write less, or remove it")
	}
	return limits
}

// compileNetworks reads a list of trusted networks.
func compileNetworks(doc *part, key string) (prefixes []netip.Prefix) {
	var shown []string
	for at, text := range doc.entries(key) {
		networks, _ := parseNetworks(text)
		for _, network := range networks {
			if network.Bits() == 0 {
				doc.warn(at, "trusts everyone: any client can claim another address, scheme or host; name the networks of your own proxies")
			}
			prefixes, shown = append(prefixes, network), append(shown, network.String())
		}
	}
	doc.setInForce(key, shown)
	return prefixes
}

// compileTagHeaders reads the names of the response fields that list tags. Clients do not get these fields, so none may
// be a field that clients need.
func compileTagHeaders(doc *part) []string {
	names, known := []string{}, splitList(doc.row("tag_headers").byDefault)
	for at, name := range doc.entries("tag_headers") {
		name = http.CanonicalHeaderKey(name)
		if !slices.Contains(known, name) && (httpcache.IsHopByHop(name) || httpcache.IsEndToEnd(name) || slices.Contains(needed, name)) {
			doc.spoil(at, "%s means something else, and clients would not get it; write the header in which your API lists tags, such as X-Cache-Tags", quote(name))
		} else if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	doc.setInForce("tag_headers", names)
	return names
}

// needed are response fields that clients act on, besides the fields that a Connection field must not name.
var needed = []string{"Accept-Ranges", "Allow", "Alt-Svc", "Link", "Retry-After", "Server", "Strict-Transport-Security", "Www-Authenticate"}

// reportDuplicates reports names that are taken, with the line of the entry that has the name first.
func reportDuplicates(list []*part, what string) {
	first := map[string]*part{}
	for _, p := range list {
		name := p.text("name")
		if before := first[name]; before == nil {
			first[name] = p
		} else if name != "" {
			p.problem("name", "%s is the name of the %s on line %d; rename one of them", quote(name), what, p.report.at(before.at("name")).line)
		}
	}
}

// reportConflicts reports pairs of patterns of which neither is more specific. Routes with other problems are compared
// too, so that all problems are reported at once.
func reportConflicts(routes []*policy.Route, r *report) {
	nameless := make([]*policy.Route, len(routes)) // identified by their place, since names may be missing or taken
	for i, route := range routes {
		nameless[i] = &policy.Route{Name: index("routes", i), Patterns: route.Patterns, Where: route.Where, Clients: route.Clients}
	}
	_, err := policy.NewTable(nameless)
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		conflict, ok := errors.AsType[*policy.ConflictError](err)
		switch {
		case err == nil:
		case !ok:
			r.problem("routes", "%w", err)
		default:
			a, b := placesOf(nameless, conflict.A), placesOf(nameless, conflict.B)
			_, reason, _ := strings.Cut(err.Error(), fmt.Sprintf("of route %q: ", conflict.A.Route))
			r.problem(b[len(b)-1], "%s conflicts with %s on line %d: %s", quote(conflict.B.Pattern.String()),
				quote(conflict.A.Pattern.String()), r.at(a[0]).line, reason)
		}
	}
}

// placesOf lists the paths of a pattern in the file.
func placesOf(routes []*policy.Route, p policy.RoutePattern) (paths []string) {
	for _, r := range routes {
		for i, pattern := range r.Patterns {
			if r.Name == p.Route && pattern.String() == p.Pattern.String() {
				paths = append(paths, index(r.Name+".match", i))
			}
		}
	}
	return paths
}

// durationOr is the duration under a key, or derived where the key is not written: its default depends on other keys.
func durationOr(p *part, name string, derived time.Duration) time.Duration {
	if p.has(name) {
		return p.duration(name)
	}
	p.setInForce(name, derived)
	return derived
}
