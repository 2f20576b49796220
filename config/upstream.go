package config

import (
	"net/url"
	"slices"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// compileUpstream compiles one upstream. limits are the shared limits that an upstream may name. shared: the
// configuration has valkey, so that there may be other instances.
func compileUpstream(doc *part, beside *files, limits []*part, shared bool) upstream.Options {
	checkKeys(doc)
	o := upstream.Options{
		Name:             doc.text("name"),
		Timeout:          doc.duration("timeout"),
		ReadTimeout:      doc.duration("read_timeout"),
		Health:           compileHealth(doc.Part("health")),
		MaxConnectionAge: doc.duration("max_connection_age"), Indirect: !doc.flag("direct"),
	}
	compilePlaces(doc, limits, shared, &o)
	if o.MaxConnectionAge == 0 {
		o.MaxConnectionAge = -1 // no maximum
	}
	// Both timeouts include the time for connecting.
	o.DialTimeout = durationOr(doc, "connect_timeout", min(upstream.DefaultDialTimeout, o.Timeout/2))
	if doc.has("connect_timeout") && o.DialTimeout > o.Timeout {
		doc.problem("connect_timeout", "is longer than timeout, which is %s and ends a request first; write a shorter one, or raise timeout", o.Timeout)
	}
	if urls := compileAddresses(doc); len(urls) > 0 {
		o.URL, o.Replicas = urls[0], urls[1:]
	}
	switch host := doc.text("host"); {
	case doc.spoiled("host") || host == "pass":
	case host != "upstream":
		o.Host = policy.HostRule{Literal: host}
	case o.URL != nil:
		o.Host, o.HostOfAddress = policy.HostRule{Literal: o.URL.Host}, true
	}
	written := false
	for _, name := range clientTLSKeys {
		if written = written || doc.has(name); doc.has(name) && o.URL != nil && o.URL.Scheme != "https" {
			doc.spoil(name, "has no effect with a %s:// url; write url: https://%s, or remove it", o.URL.Scheme, o.URL.Host)
		}
	}
	if written {
		o.TLS = compileClientTLS(doc, beside)
	}
	return o
}

// compilePlaces compiles the limit of an upstream: its own, or the shared limit that it names.
func compilePlaces(doc *part, limits []*part, shared bool, o *upstream.Options) {
	if !doc.has("limit") {
		limitOf(doc, shared, o)
		if o.MaxInFlight == 0 && !doc.spoiled("max_in_flight") {
			const without = "no request that a client makes waits or is refused, so that whoever loses the cache loses the database; write about what that can work on at once. What it has had at most is in cacheproxy_origin_in_flight_peak"
			if source := doc.report.at(doc.path).source; source != "" { // the finding begins with the source
				doc.warn("max_in_flight", "leaves max_in_flight unset, which only a file can set (serve --config FILE): "+without)
			} else {
				doc.warn("max_in_flight", "is not set: "+without)
			}
		}
		return
	}
	for _, k := range placeKeys {
		if doc.has(k.name) {
			doc.problem(k.name, "is not heeded beside limit; write it under shared_limits, or remove limit")
		}
	}
	var names []string
	for _, l := range limits {
		if name := l.text("name"); name == doc.text("limit") {
			o.Limit = name
			readLimit(l, o)
			for i := range placeKeys {
				doc.setInForce(placeKeys[i].name, l.inForce(&placeKeys[i]))
			}
		} else {
			names = append(names, name)
		}
	}
	switch {
	case o.Limit != "":
	case len(names) == 0:
		doc.problem("limit", "%s is a shared limit, and there is none; write shared_limits: [{name: db, max_in_flight: 64}], or max_in_flight here", quote(doc.text("limit")))
	default:
		doc.problem("limit", "%s is not a shared limit; write %s, or add it to shared_limits", quote(doc.text("limit")), oneOf(names))
	}
}

// compileSharedLimits checks the shared limits. Each must be the limit of an upstream.
func compileSharedLimits(doc *part, shared bool) []*part {
	all := doc.sections("shared_limits")
	for _, l := range all {
		checkKeys(l)
		limitOf(l, shared, new(upstream.Options))
		if !slices.ContainsFunc(doc.sections("upstreams"), func(u *part) bool { return u.text("limit") == l.text("name") }) {
			l.warn("name", "is the limit of no upstream; write limit: %s there, or remove it", l.text("name"))
		}
	}
	reportDuplicates(all, "shared limit")
	return all
}

// limitOf checks a limit and writes the limit to o.
func limitOf(doc *part, shared bool, o *upstream.Options) {
	if !doc.has("max_in_flight") && !doc.spoiled("max_in_flight") {
		for _, name := range []string{"max_queue", "queue_timeout", "fleet_max_in_flight", "limit_passing"} {
			if doc.has(name) {
				doc.problem(name, "means nothing without max_in_flight; write that too, about what the database behind can work on at once, or remove this")
			}
		}
	}
	if doc.has("fleet_max_in_flight") && !shared {
		doc.warn("fleet_max_in_flight", "has no effect without valkey: this instance knows of no other, and keeps to max_in_flight")
		doc.setInForce("fleet_max_in_flight", 0)
	}
	readLimit(doc, o)
}

// readLimit writes a checked limit to o.
func readLimit(doc *part, o *upstream.Options) {
	o.MaxInFlight, o.LimitPassing = doc.number("max_in_flight"), doc.flag("limit_passing")
	o.MaxQueue, o.QueueTimeout = noneOrMore(doc.number("max_queue")), doc.duration("queue_timeout")
	o.FleetMaxInFlight, _ = doc.inForce(doc.row("fleet_max_in_flight")).(int)
	switch {
	case doc.has("max_streams"):
		if o.MaxStreams = noneOrMore(doc.number("max_streams")); o.MaxStreams < 0 {
			// The key is quiet: without this field, GET /config would not show a zero that was written.
			doc.beside["max_streams"] = []Field{{"max_streams", 0}}
		}
	case o.MaxInFlight > 0:
		o.MaxStreams = upstream.DefaultMaxStreams
		doc.setInForce("max_streams", o.MaxStreams)
	}
}

// noneOrMore is n, or for zero, which means none, the -1 of upstream options.
func noneOrMore(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// compileAddresses lists the usable URLs of one upstream. GET /config shows the first as the url and the others beside
// it, without user information.
func compileAddresses(doc *part) (urls []*url.URL) {
	list := doc.list("url")
	if doc.spoiled("url") {
		return nil
	}
	var shown []string
	for i, text := range list {
		at := "url"
		if len(list) > 1 {
			at = index(at, i)
		}
		if doc.spoiled(at) {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || !hostForm.MatchString(u.Host) {
			// The parser's own error would repeat a password.
			doc.spoil(at, "is not the URL of a server; write http://host:port, https://host:port or h2c://host:port")
			continue
		}
		all := append(urls, u)
		if err := (upstream.Options{URL: all[0], Replicas: all[1:]}).Validate(); err != nil {
			doc.spoil(at, "%w", err)
			continue
		}
		urls, shown = all, append(shown, u.Redacted())
	}
	doc.setInForce("url", shown)
	if len(shown) > 1 {
		doc.beside["url"] = []Field{{"replicas", shown[1:]}}
	}
	return urls
}

func compileHealth(doc *part) upstream.HealthCheck {
	h := upstream.HealthCheck{Path: doc.text("path"), Interval: doc.duration("interval"), Timeout: doc.duration("timeout")}
	if !doc.has("") || doc.spoiled("path") {
		return upstream.HealthCheck{}
	}
	doc.there = true
	if path, _, query := strings.Cut(h.Path, "?"); query { // a service may want a token in the query
		doc.setInForce("path", path+"?"+secret("").String())
	}
	return h
}
