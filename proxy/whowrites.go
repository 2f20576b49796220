package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cacheproxy/policy/httpcache"
)

// clientOf identifies the client of a write, as far as idempotency keys are concerned, by all header fields that may
// say which client asks. h is the header as the origin gets it.
//
// Invariant: two writes in which the origin may see two clients are never taken for one write. The proxy does not know
// by which fields an API knows its clients. So every field counts, cookies included, except those that are known to
// choose no answer (Neutral).
//
// If a counted field changes between two tries of one client, the origin gets two writes with one idempotency key, and
// can recognize the second as a repetition. The opposite fault is worse: a write that was acknowledged here but never
// sent could not be recovered.
func clientOf(r *route, h http.Header) string {
	return saying(h, func(name string) bool { return !r.Neutral(name) && name != idempotencyField })
}

// negotiating are the fields that choose among representations, and do not tell clients apart.
var negotiating = []string{"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Origin"}

// askerOf identifies the client of a write or of a read, by all fields of the header because of which the origin may
// answer the same read otherwise; empty: there are no such fields.
func askerOf(r *route, h http.Header) string {
	return saying(h, func(name string) bool {
		return !r.Neutral(name) && name != idempotencyField && !strings.HasPrefix(name, "Content-") && !slices.Contains(negotiating, name)
	})
}

// saying encodes the fields of a header for which counts reports true. The encoding is injective: headers that differ in such a field give
// different strings.
func saying(h http.Header, counts func(name string) bool) string {
	var said []byte
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if !counts(name) {
			continue
		}
		said = httpcache.AppendField(said, name)
		said = httpcache.AppendField(said, strconv.Itoa(len(h[name])))
		for _, line := range h[name] {
			said = httpcache.AppendField(said, line)
		}
	}
	return string(said)
}
