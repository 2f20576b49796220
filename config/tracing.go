package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Tracing says where traces go.
type Tracing struct {
	Endpoint *url.URL // of an OTLP receiver over HTTP
	Sample   float64  // 0 to 1: the share of the requests that do not belong to a trace already
	Service  string
	Headers  map[string]Secret // sent with every export
}

// tracing compiles the section; nil: no traces.
func (l *loader) tracing(doc *Part) *Tracing {
	endpoint, headers := doc.text("endpoint"), read[map[string]string](doc, "headers")
	if endpoint == "" {
		for _, path := range []string{"tracing", "tracing.sample", "tracing.service", "tracing.headers"} {
			if l.has(path) && !l.spoiled("tracing.endpoint") {
				l.problem(path, "has no tracing.endpoint beside it; write endpoint: http://127.0.0.1:4318, or remove tracing")
				break
			}
		}
		return nil
	}
	t := &Tracing{Sample: doc.share("sample"), Service: doc.text("service"), Headers: map[string]Secret{}}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || !hostForm.MatchString(u.Host):
		// The parser's own error would repeat a password.
		l.spoil("tracing.endpoint", "is not the URL of an OTLP receiver over HTTP; write http://127.0.0.1:4318")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		l.spoil("tracing.endpoint", "has more than host and path; write http://127.0.0.1:4318, and credentials under tracing.headers")
	}
	t.Endpoint, doc.there = u, true
	if t.Service == "" && !l.spoiled("tracing.service") {
		l.problem("tracing.service", "is empty; write a name for your traces to be found by, or remove it")
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := join("tracing.headers", name)
		switch value := headers[name]; {
		case l.spoiled(at):
		case !token.MatchString(name):
			l.problem(at, "is not the name of a header field; write Authorization: \"Bearer ${file:/run/secrets/token}\"")
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			l.problem(at, "has a line break or another control character in its value; remove it")
		default:
			t.Headers[name] = Secret(value)
		}
	}
	return t
}
