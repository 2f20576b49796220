package config

import (
	"net/url"
	"regexp"

	"cacheproxy/policy"
	"cacheproxy/proxy/origin"
)

// hostForm is a Host as it may be sent: a name or an address, and perhaps a port (RFC 9110 §7.2).
var hostForm = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

func (l *loader) upstreams(list []upstreamDoc) []origin.Options {
	if len(list) == 0 && !l.spoiled("upstreams") && !l.spoiled("") {
		l.problem("upstreams", "is missing or empty; write at least one: - {name: api, url: \"http://127.0.0.1:9000\"}")
	}
	options := make([]origin.Options, len(list))
	taken := make([]string, len(list))
	for i := range list {
		options[i] = l.upstream(index("upstreams", i), &list[i])
		taken[i] = list[i].Name
	}
	l.duplicates("upstreams", "upstream", taken)
	return options
}

func (l *loader) upstream(path string, doc *upstreamDoc) origin.Options {
	l.name(join(path, "name"), doc.Name, "api")
	o := origin.Options{
		Name:         doc.Name,
		URL:          l.upstreamURL(join(path, "url"), doc.URL),
		Timeout:      l.positive(join(path, "timeout"), doc.Timeout, origin.DefaultTimeout),
		QueueTimeout: l.positive(join(path, "queue_timeout"), doc.QueueTimeout, origin.DefaultQueueTimeout),
		MaxInFlight:  l.atLeastOne(join(path, "max_in_flight"), doc.MaxInFlight, origin.DefaultMaxInFlight),
		MaxQueue:     l.noneOrMore(join(path, "max_queue"), doc.MaxQueue, origin.DefaultMaxQueue),
		MaxStreams:   l.noneOrMore(join(path, "max_streams"), doc.MaxStreams, origin.DefaultMaxStreams),
	}
	o.Host = l.hostRule(join(path, "host"), doc.Host, o.URL)
	return o
}

func (l *loader) upstreamURL(path, text string) *url.URL {
	if l.spoiled(path) {
		return nil
	}
	if text == "" {
		l.spoil(path, "is missing; write url: http://127.0.0.1:9000")
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !hostForm.MatchString(u.Host) {
		// The parser's own error would repeat a password.
		l.spoil(path, "is not the URL of a server; write http://host:port, https://host:port or h2c://host:port")
		return nil
	}
	if err := (origin.Options{URL: u}).Validate(); err != nil {
		l.spoil(path, "%w", err)
		return nil
	}
	return u
}

func (l *loader) hostRule(path, text string, u *url.URL) policy.HostRule {
	switch {
	case l.spoiled(path) || text == "pass" || !l.has(path):
		return policy.HostRule{}
	case text == "upstream":
		if u == nil {
			return policy.HostRule{}
		}
		return policy.HostRule{Literal: u.Host}
	case !hostForm.MatchString(text):
		l.problem(path, "%s is not a host; write pass, upstream or a name such as api.example.com", quote(text))
	}
	return policy.HostRule{Literal: text}
}
