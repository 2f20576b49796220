package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cacheproxy/policy/httpcache"
)

// clientOf stands for whose idempotency keys a write's are, by its header as the origin gets it: for everything that may say who asks.
//
// Invariant: two writes in which the origin may see two clients are never one write. Which fields an API knows its clients by is not known
// here, so all of them count, each cookie too, but for what is known to choose no answer. Where one of these
// changes between two tries of one client, there are two writes with one idempotency key, which the origin sees: a write too many can be
// mended there, one that was answered and never made cannot.
func clientOf(r *route, h http.Header) string {
	return saying(h, func(name string) bool { return !r.Neutral(name) && name != idempotencyField })
}

// negotiating are the fields that choose among representations, and say nothing of who asks.
var negotiating = []string{"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Origin"}

// askerOf stands for everything in a header by which the origin may choose another answer to the same read, be it of a write or of a read; empty:
// there is nothing.
func askerOf(r *route, h http.Header) string {
	return saying(h, func(name string) bool {
		return !r.Neutral(name) && name != idempotencyField && !strings.HasPrefix(name, "Content-") && !slices.Contains(negotiating, name)
	})
}

// saying are the fields of a header that count, so that no two headers which differ in one of them give the same.
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
