package config

import (
	"net/url"
	"regexp"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// hostForm is a Host as it may be sent: a name or an address, and perhaps a port (RFC 9110 §7.2).
var hostForm = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

func (l *loader) upstreams(list []*Part) []upstream.Options {
	if len(list) == 0 && !l.spoiled("upstreams") && !l.spoiled("") {
		l.problem("upstreams", "is missing or empty; write at least one: - {name: api, url: \"http://127.0.0.1:9000\"}")
	}
	options := make([]upstream.Options, len(list))
	for i, doc := range list {
		options[i] = l.upstream(doc)
	}
	l.duplicates(list, "upstream")
	return options
}

func (l *loader) upstream(doc *Part) upstream.Options {
	o := upstream.Options{
		Name:         l.name(doc, "api"),
		Timeout:      doc.duration("timeout"),
		ReadTimeout:  doc.duration("read_timeout"),
		QueueTimeout: doc.duration("queue_timeout"),
		MaxInFlight:  doc.number("max_in_flight"),
		MaxQueue:     noneOrMore(doc, "max_queue"),
		MaxStreams:   noneOrMore(doc, "max_streams"),
	}
	o.FleetMaxInFlight = l.fleetLimit(doc)
	o.DialTimeout = l.connectTimeout(doc, o.Timeout)
	if urls := l.addresses(doc); len(urls) > 0 {
		o.URL, o.Replicas = urls[0], urls[1:]
	}
	o.Health = l.health(doc.section("health"))
	o.Host, o.HostOfAddress = l.hostRule(doc, o.URL)
	o.TLS = l.upstreamTLS(doc, o.URL)
	return o
}

// fleetLimit is how many requests of all instances may be at work; zero: that is not limited.
func (l *loader) fleetLimit(doc *Part) int {
	n, at := doc.number("fleet_max_in_flight"), doc.at("fleet_max_in_flight")
	switch {
	case !l.has(at):
	case !l.wroteBelow("valkey"):
		l.warn(at, "has no effect without valkey: this instance knows of no other, and keeps to max_in_flight")
		doc.setInForce("fleet_max_in_flight", 0)
		return 0
	}
	return n
}

// settles are the delays after which what was invalidated is invalidated once more, by upstream.
func (l *loader) settles(list []*Part) map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, doc := range list {
		if d := doc.duration("settle"); d > 0 {
			all[doc.text("name")] = d
		}
	}
	return all
}

// connectTimeout is a part of timeout, since the time for connecting counts in both.
func (l *loader) connectTimeout(doc *Part, timeout time.Duration) time.Duration {
	d := l.durationOr(doc, "connect_timeout", min(upstream.DefaultDialTimeout, timeout/2))
	if at := doc.at("connect_timeout"); l.has(at) && d > timeout {
		l.problem(at, "is longer than timeout, which is %s and ends a request first; write a shorter one, or raise timeout", timeout)
	}
	return d
}

// addresses are the URLs of one upstream, without those that are refused.
func (l *loader) addresses(doc *Part) (urls []*url.URL) {
	list, path := doc.list("url"), doc.at("url")
	if l.spoiled(path) {
		return nil
	}
	if len(list) == 0 || len(list) == 1 && list[0] == "" {
		l.spoil(path, "is missing; write url: http://127.0.0.1:9000")
		return nil
	}
	for i, text := range list {
		at := path
		if len(list) > 1 {
			at = index(path, i)
		}
		u := l.addressAt(at, text)
		if u == nil {
			continue
		}
		urls = append(urls, u)
		if err := (upstream.Options{URL: urls[0], Replicas: urls[1:]}).Validate(); err != nil {
			l.spoil(at, "%w", err)
			urls = urls[:len(urls)-1]
		}
	}
	showAddresses(doc, urls)
	return urls
}

// showAddresses shows the first address as the upstream's, and the others beside it, without user information.
func showAddresses(doc *Part, urls []*url.URL) {
	var shown []string
	for _, u := range urls {
		shown = append(shown, u.Redacted())
	}
	doc.setInForce("url", shown)
	if len(shown) > 1 {
		doc.beside["url"] = []Field{{"replicas", shown[1:]}}
	}
}

func (l *loader) addressAt(path, text string) *url.URL {
	if l.spoiled(path) {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !hostForm.MatchString(u.Host) {
		// The parser's own error would repeat a password.
		l.spoil(path, "is not the URL of a server; write http://host:port, https://host:port or h2c://host:port")
		return nil
	}
	return u
}

func (l *loader) health(doc *Part) upstream.HealthCheck {
	h := upstream.HealthCheck{Path: doc.text("path"), Interval: doc.duration("interval"), Timeout: doc.duration("timeout")}
	switch at := doc.at("path"); {
	case !l.has(doc.path) || l.spoiled(at):
		return upstream.HealthCheck{}
	case h.Path == "":
		l.problem(at, "is missing; write path: /healthz, or remove health")
	case !healthPath.MatchString(h.Path):
		l.problem(at, "%s is not a path; write one that begins with / such as /healthz", quote(h.Path))
	}
	doc.there = true
	if path, _, query := strings.Cut(h.Path, "?"); query { // where a service may want a token
		doc.setInForce("path", path+"?"+Secret("").String())
	}
	return h
}

// healthPath is an absolute path, perhaps with a query, as it goes out.
var healthPath = regexp.MustCompile(`^/[!-~]*$`)

// hostRule also says whether each address sees itself.
func (l *loader) hostRule(doc *Part, first *url.URL) (rule policy.HostRule, ofAddress bool) {
	text, path := doc.text("host"), doc.at("host")
	switch {
	case l.spoiled(path) || text == "pass":
		return policy.HostRule{}, false
	case text == "upstream":
		if first == nil {
			return policy.HostRule{}, false
		}
		return policy.HostRule{Literal: first.Host}, true
	case !hostForm.MatchString(text):
		l.problem(path, "%s is not a host; write pass, upstream or a name such as api.example.com", quote(text))
	}
	return policy.HostRule{Literal: text}, false
}
