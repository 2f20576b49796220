package policy

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// AsksAsFill reports whether the client's own request, if it is passed, asks the origin what a fill would ask: only then is the answer for everybody.
// selected are the fields that Vary is known to name. Only fields that nearly all clients send, or that the proxy adds itself, may differ. A request
// whose Connection names fields does not: such a field is not sent on, but may be part of the key.
func (r *Route) AsksAsFill(client http.Header, selected []string) bool {
	fill := r.FillHeader(client, selected)
	for name, lines := range client {
		switch {
		case name == "Connection":
			if namesFields(lines) {
				return false
			}
		case toldByAll[name] && len(fill[name]) == 0:
		case name == encodingField && !r.fields().declares(encodingField):
			if httpcache.Combined(fill[name]) != httpcache.CanonicalEncoding(lines) {
				return false
			}
		case httpcache.Combined(fill[name]) != httpcache.Combined(lines) || len(fill[name]) == 0:
			return false
		}
	}
	return true
}

// toldByAll are the fields of a client's own request that a fill lacks and that say nothing of the client's choice, or no more
// than that it is one: the framing and form of its content, its software, and whom proxies have forwarded it for.
var toldByAll = map[string]bool{
	"Host": true, "Content-Length": true, "Content-Type": true, "Transfer-Encoding": true, "Keep-Alive": true,
	"User-Agent": true, "X-Forwarded-For": true, "X-Forwarded-Proto": true, "Forwarded": true, "X-Request-Id": true,
	"Cache-Control": true, "Pragma": true, // wishes to caches
}

// namesFields reports whether the lines of Connection have more than the options that are about the connection itself.
func namesFields(lines []string) bool {
	for option := range httpcache.Elements(lines) {
		if !aboutConnection(option) {
			return true
		}
	}
	return false
}

// aboutConnection reports whether an option of Connection is about the connection itself.
func aboutConnection(option string) bool {
	return option == "" || slices.ContainsFunc([]string{"close", "keep-alive", "te", "upgrade"}, func(known string) bool { return strings.EqualFold(option, known) })
}

// whoWords are parts of names of fields by which APIs are told who asks.
var whoWords = [...]string{
	"key", "token", "auth", "secret", "session", "credential", "password", "signature", "jwt", "tenant", "account", "user-id",
	"userid", "customer", "identity", "client-cert",
}

// SaysWho reports whether fields of a request that are not part of the storage key say, or may say, who asks. On a route that forwards all fields there
// is no list of harmless ones, so that it goes by words in their names. It errs towards true, and is for answers that need not be shared.
func (r *Route) SaysWho(h http.Header) bool {
	for name := range h {
		if r.Neutral(name) || classOf(name) == negotiatingField || r.fields().declares(name) {
			continue
		}
		lower := strings.ToLower(name)
		if name == "Cookie" || slices.ContainsFunc(whoWords[:], func(word string) bool { return strings.Contains(lower, word) }) {
			return true
		}
	}
	return false
}
