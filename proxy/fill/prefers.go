package fill

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"

	"cacheproxy/policy"
)

const (
	// slots is for how many headers a route remembers the preferences. There are about as many as there are kinds of clients.
	slots = 128
	// maxRemembered is the length of a field that is remembered. Browsers send less.
	maxRemembered = 512
)

// Prefers works out the part of a route's storage keys that says what a client prefers. Every read needs it, and the same few headers come again and
// again, so that Prefers caches its results by a hash of the header. It is safe for concurrent use.
type Prefers struct {
	policy.Preferences // of which the fields are

	seed       maphash.Seed
	remembered [slots]atomic.Pointer[preference]
}

// preference is a header and what was made of it. It is immutable.
type preference struct {
	lines []string // of each field its line; empty: it is not there, or empty
	text  string
}

func newPrefers(of policy.Preferences) *Prefers {
	return &Prefers{Preferences: of, seed: maphash.MakeSeed()}
}

// AppendTo is policy.Preferences.AppendTo, with the result cached. A new header only takes a free slot, and never replaces another: clients that
// make up headers could otherwise make the cache useless.
func (p *Prefers) AppendTo(dst []byte, h http.Header) []byte {
	if len(p.Preferences) == 0 {
		return dst
	}
	slot, ok := p.slot(h)
	if !ok {
		return p.Preferences.AppendTo(dst, h)
	}
	known := p.remembered[slot].Load()
	if known != nil && p.is(known, h) {
		return append(dst, known.text...)
	}
	at := len(dst)
	dst = p.Preferences.AppendTo(dst, h)
	if known == nil {
		next := &preference{lines: make([]string, len(p.Preferences)), text: string(dst[at:])}
		for i, name := range p.Preferences {
			next.lines[i] = strings.Clone(line(h, name))
		}
		p.remembered[slot].CompareAndSwap(nil, next)
	}
	return dst
}

// slot is the slot of a header. It is not ok if headers like this one are not cached.
func (p *Prefers) slot(h http.Header) (_ uint64, ok bool) {
	var sum uint64
	for _, name := range p.Preferences {
		lines := h[name]
		if len(lines) > 1 || len(lines) == 1 && len(lines[0]) > maxRemembered {
			return 0, false
		}
		if sum *= 31; len(lines) == 1 && lines[0] != "" {
			sum += maphash.String(p.seed, lines[0])
		}
	}
	return sum % slots, true
}

// is reports whether a cached entry is for this header.
func (p *Prefers) is(known *preference, h http.Header) bool {
	for i, name := range p.Preferences {
		if known.lines[i] != line(h, name) {
			return false
		}
	}
	return true
}

// line is the line of a field that has at most one. An empty field means the same as an absent one: no preference.
func line(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return lines[0]
	}
	return ""
}
