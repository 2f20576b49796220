package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"cacheproxy/policy/httpcache"
)

// clientOf stands for whose idempotency keys a write's are, by its header as the origin gets it: for everything that may say who asks.
//
// Invariant: two writes in which the origin may see two clients are never one write. Which fields an API knows its clients by is not known
// here, so all of them count, each cookie too, but for what is known to choose no answer. Where one of these
// changes between two tries of one client, there are two writes with one idempotency key, which the origin sees: a write too many can be
// mended there, one that was answered and never made cannot.
func clientOf(r *route, h http.Header) string {
	var said []byte
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if r.Neutral(name) || name == idempotencyField {
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
