package fill

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"

	"cacheproxy/policy"
)

const (
	// slots is the number of headers whose preferences a route remembers. The number of kinds of clients is about the
	// same.
	slots = 128
	// maxRemembered is the longest field, in bytes, that is remembered. Browsers send shorter fields.
	maxRemembered = 512
)

// Prefers makes the part of a route's storage keys that states the preferences of a client. Every read needs this
// part, and few headers come again and again, so that Prefers caches its results by a hash of the header. Prefers is
// safe for concurrent use.
type Prefers struct {
	policy.Preferences // the preference fields of the route

	seed       maphash.Seed
	remembered [slots]atomic.Pointer[preference]
}

// preference is a header with the key part made of that header. preference is immutable.
type preference struct {
	lines []string // the line of each field; empty: the field is absent, or empty
	text  string
}

func newPrefers(of policy.Preferences) *Prefers {
	return &Prefers{Preferences: of, seed: maphash.MakeSeed()}
}

// AppendTo is policy.Preferences.AppendTo, with the result cached. A new header only takes a free slot, and never
// replaces another header. Otherwise clients that make up headers could make the cache useless.
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

// slot is the slot of a header. ok is false if headers of this form are not cached: several lines, or more than
// maxRemembered bytes.
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

// line is the line of a field that has at most one line. An empty field means the same as an absent field: no
// preference.
func line(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return lines[0]
	}
	return ""
}
