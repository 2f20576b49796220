package config

import (
	"net/url"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// compileUpstream is one API behind. shared: there are other instances.
func compileUpstream(doc *part, beside *files, shared bool) upstream.Options {
	checkKeys(doc)
	o := upstream.Options{
		Name:             doc.text("name"),
		Timeout:          doc.duration("timeout"),
		ReadTimeout:      doc.duration("read_timeout"),
		QueueTimeout:     doc.duration("queue_timeout"),
		MaxInFlight:      doc.number("max_in_flight"),
		MaxQueue:         noneOrMore(doc.number("max_queue")),
		MaxStreams:       noneOrMore(doc.number("max_streams")),
		FleetMaxInFlight: doc.number("fleet_max_in_flight"),
		Health:           compileHealth(doc.Part("health")),
		MaxConnectionAge: doc.duration("max_connection_age"),
	}
	if o.MaxConnectionAge == 0 {
		o.MaxConnectionAge = -1 // as long as it lasts
	}
	if doc.has("fleet_max_in_flight") && !shared {
		doc.warn("fleet_max_in_flight", "has no effect without valkey: this instance knows of no other, and keeps to max_in_flight")
		o.FleetMaxInFlight = 0
	}
	doc.setInForce("fleet_max_in_flight", o.FleetMaxInFlight)
	// The time for connecting counts in both timeouts.
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

// noneOrMore is n where zero means none, which the options of an upstream write as -1.
func noneOrMore(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// compileAddresses are the URLs of one upstream, without those that are refused. The first is shown as the upstream's, and the others
// beside it, without user information.
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
	if path, _, query := strings.Cut(h.Path, "?"); query { // where a service may want a token
		doc.setInForce("path", path+"?"+secret("").String())
	}
	return h
}
