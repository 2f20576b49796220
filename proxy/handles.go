package proxy

import "cacheproxy/store"

// handles holds one request's references to copies. Each reference that a look-up returns is kept here until the request has been answered, so
// that copies may be used freely meanwhile and are released in one place. Most requests have one or two references; a request that is decided
// several times has more.
type handles struct {
	first [4]*store.Copy
	n     int // in first
	more  []*store.Copy
}

// keep takes over a reference; nil: there is none.
func (h *handles) keep(c *store.Copy) {
	switch {
	case c == nil:
	case h.n < len(h.first):
		h.first[h.n] = c
		h.n++
	default:
		h.more = append(h.more, c)
	}
}

// release gives all references back.
func (h *handles) release() {
	for _, c := range h.first[:h.n] {
		c.Release()
	}
	for _, c := range h.more {
		c.Release()
	}
	*h = handles{}
}
