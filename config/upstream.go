package config

import (
	"net/url"
	"regexp"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// hostForm is a Host as it may be sent: a name or an address, and perhaps a port (RFC 9110 §7.2).
var hostForm = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

func (l *loader) upstreams(list []upstreamDoc) []upstream.Options {
	if len(list) == 0 && !l.spoiled("upstreams") && !l.spoiled("") {
		l.problem("upstreams", "is missing or empty; write at least one: - {name: api, url: \"http://127.0.0.1:9000\"}")
	}
	options := make([]upstream.Options, len(list))
	taken := make([]string, len(list))
	for i := range list {
		options[i] = l.upstream(index("upstreams", i), &list[i])
		taken[i] = list[i].Name
	}
	l.duplicates("upstreams", "upstream", taken)
	return options
}

func (l *loader) upstream(path string, doc *upstreamDoc) upstream.Options {
	l.name(join(path, "name"), doc.Name, "api")
	o := upstream.Options{
		Name:         doc.Name,
		Timeout:      l.positive(join(path, "timeout"), doc.Timeout, upstream.DefaultTimeout),
		ReadTimeout:  l.positive(join(path, "read_timeout"), doc.ReadTimeout, upstream.DefaultReadTimeout),
		QueueTimeout: l.positive(join(path, "queue_timeout"), doc.QueueTimeout, upstream.DefaultQueueTimeout),
		MaxInFlight:  l.atLeastOne(join(path, "max_in_flight"), doc.MaxInFlight, upstream.DefaultMaxInFlight),
		MaxQueue:     l.noneOrMore(join(path, "max_queue"), doc.MaxQueue, upstream.DefaultMaxQueue),
		MaxStreams:   l.noneOrMore(join(path, "max_streams"), doc.MaxStreams, upstream.DefaultMaxStreams),
	}
	o.FleetMaxInFlight = l.fleetLimit(join(path, "fleet_max_in_flight"), doc.FleetInFlight)
	o.DialTimeout = l.connectTimeout(join(path, "connect_timeout"), doc.ConnectTimeout, o.Timeout)
	if urls := l.addresses(join(path, "url"), doc.URL); len(urls) > 0 {
		o.URL, o.Replicas = urls[0], urls[1:]
	}
	o.Health = l.health(join(path, "health"), doc.Health)
	o.Host, o.HostOfAddress = l.hostRule(join(path, "host"), doc.Host, o.URL)
	o.TLS = l.upstreamTLS(path, doc.upstreamTLSDoc, o.URL)
	return o
}

// fleetLimit is how many requests of all instances may be at work; zero: that is not limited.
func (l *loader) fleetLimit(path string, n int) int {
	switch {
	case !l.has(path):
	case n == 0:
		l.problem(path, "is zero, which would let no instance ask; write 64, or remove it")
	case !l.wroteBelow("valkey"):
		l.warn(path, "has no effect without valkey: this instance knows of no other, and keeps to max_in_flight")
		return 0
	}
	return n
}

// settles are the delays after which what was invalidated is invalidated once more, by upstream.
func (l *loader) settles(list []upstreamDoc) map[string]time.Duration {
	all := map[string]time.Duration{}
	for i, doc := range list {
		if d := l.positive(join(index("upstreams", i), "settle"), doc.Settle, 0); d > 0 {
			all[doc.Name] = d
		}
	}
	return all
}

// connectTimeout is a part of timeout, since the time for connecting counts in both.
func (l *loader) connectTimeout(path string, d, timeout time.Duration) time.Duration {
	d = l.positive(path, d, min(upstream.DefaultDialTimeout, timeout/2))
	if l.has(path) && d > timeout {
		l.problem(path, "is longer than timeout, which is %s and ends a request first; write a shorter one, or raise timeout", timeout)
	}
	return d
}

// addresses are the URLs of one upstream, without those that are refused.
func (l *loader) addresses(path string, list oneOrMore) (urls []*url.URL) {
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
	return urls
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

func (l *loader) health(path string, doc healthDoc) upstream.HealthCheck {
	h := upstream.HealthCheck{
		Path:     doc.Path,
		Interval: l.positive(join(path, "interval"), doc.Interval, upstream.DefaultHealthInterval),
		Timeout:  l.positive(join(path, "timeout"), doc.Timeout, upstream.DefaultHealthTimeout),
	}
	switch at := join(path, "path"); {
	case !l.has(path) || l.spoiled(at):
		return upstream.HealthCheck{}
	case doc.Path == "":
		l.problem(at, "is missing; write path: /healthz, or remove health")
	case !healthPath.MatchString(doc.Path):
		l.problem(at, "%s is not a path; write one that begins with / such as /healthz", quote(doc.Path))
	}
	return h
}

// healthPath is an absolute path, perhaps with a query, as it goes out.
var healthPath = regexp.MustCompile(`^/[!-~]*$`)

// hostRule also says whether each address sees itself.
func (l *loader) hostRule(path, text string, first *url.URL) (rule policy.HostRule, ofAddress bool) {
	switch {
	case l.spoiled(path) || text == "pass" || !l.has(path):
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
