package policy

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// AsksAsFill reports whether the client's own request, sent through, asks the origin the same as a fill would: only
// then is the answer one for everybody. selected are the fields that Vary is known to name. Only fields that nearly all
// clients send, or that this proxy adds itself, may differ. A field that Connection removes from the forwarded request
// may be part of the key all the same, so any such field counts as a difference.
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

// toldByAll are fields of a client's own request that a fill lacks, and that tell the origin no choice of the client:
// the framing and type of its content, its software, and the addresses for which proxies have forwarded the request.
var toldByAll = map[string]bool{
	"Host": true, "Content-Length": true, "Content-Type": true, "Transfer-Encoding": true, "Keep-Alive": true,
	"User-Agent": true, "X-Forwarded-For": true, "X-Forwarded-Proto": true, "Forwarded": true, "X-Request-Id": true,
	"Cache-Control": true, "Pragma": true, // directives for caches
}

// namesFields reports whether the lines of Connection have other options than those about the connection itself.
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

// whoWords are parts of the names of fields that tell an API who sends the request.
var whoWords = [...]string{
	"key", "token", "auth", "secret", "session", "credential", "password", "signature", "jwt", "tenant", "account", "user-id",
	"userid", "customer", "identity", "client-cert",
}

// SaysWho reports whether a request tells who sends it, or may tell, by fields outside of the storage key. A route that
// forwards all fields has no list of such fields, so SaysWho goes by their names. SaysWho guards answers that need not
// be shared.
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
