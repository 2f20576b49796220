package config

import (
	"cmp"
	"net/url"
	"strings"
)

// The variables of OpenTelemetry's environment count where neither the file nor a CACHEPROXY_ variable sets the key.
// Operators of a cluster set them for every process in one place (OpenTelemetry protocol exporter specification).
const (
	otelAny    = "OTEL_EXPORTER_OTLP_"        // for all signals
	otelTraces = "OTEL_EXPORTER_OTLP_TRACES_" // for traces alone; wins over otelAny
)

// otel takes the keys of the tracing section from OpenTelemetry's environment. Without an endpoint from any source
// nothing is traced, and otel takes nothing.
func (d *decoder) otel(p *part, getenv func(string) string) {
	variable := func(what string) (name, text string) {
		for _, name := range []string{otelTraces + what, otelAny + what} {
			if text := strings.TrimSpace(getenv(name)); text != "" {
				return name, text
			}
		}
		return "", ""
	}
	take := func(key, variable, text string) {
		if text == "" || d.place(p.at(key)) {
			return
		}
		k := p.row(key)
		d.places[p.at(key)] = place{source: "environment " + variable}
		value, ok := d.value(k.is, text, quote(text), p.at(key))
		d.store(p, k, value, ok)
	}
	off := strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || cmp.Or(getenv("OTEL_TRACES_EXPORTER"), "otlp") != "otlp"
	name, endpoint := variable("ENDPOINT")
	if !d.place(p.at("endpoint")) && (off || endpoint == "") {
		return
	}
	protocol, word := variable("PROTOCOL")
	take("protocol", protocol, word)
	grpc := p.value(p.row("protocol")) == overGRPC
	if grpc && !strings.Contains(endpoint, "://") && endpoint != "" {
		scheme := "https://"
		if _, insecure := variable("INSECURE"); strings.EqualFold(insecure, "true") {
			scheme = "http://"
		}
		endpoint = scheme + endpoint
	}
	if u, err := url.Parse(endpoint); err == nil && name == otelAny+"ENDPOINT" && !grpc {
		endpoint = u.JoinPath("v1", "traces").String() // the endpoint for all signals is the base of each signal's path
	}
	take("endpoint", name, endpoint)
	timeout, milliseconds := variable("TIMEOUT")
	if digits.MatchString(milliseconds) {
		milliseconds += "ms"
	}
	take("timeout", timeout, milliseconds)
	take("service", "OTEL_SERVICE_NAME", getenv("OTEL_SERVICE_NAME"))
	d.otelHeaders(p, variable)
}

// otelHeaders takes the header fields from the environment, where they are written as name=value,name=value with
// escapes.
func (d *decoder) otelHeaders(p *part, variable func(string) (name, text string)) {
	name, list := variable("HEADERS")
	at := p.at("headers")
	if list == "" || d.place(at) {
		return
	}
	d.places[at] = place{source: "environment " + name}
	headers := map[string]string{}
	for pair := range strings.SplitSeq(list, ",") {
		field, value, ok := strings.Cut(pair, "=")
		text, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			d.spoil(at, "is not a list of header fields; write name=value,name=value, with %%2C for a comma in a value")
			return
		}
		headers[strings.TrimSpace(field)] = text
	}
	p.values["headers"] = headers
}

// place reports whether a value was written under a path, usable or not.
func (d *decoder) place(path string) bool {
	_, written := d.places[path]
	return written
}
