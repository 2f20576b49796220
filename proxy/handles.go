package proxy

import "cacheproxy/store"

// handles is the references of one request to copies: each that a look-up gives it is kept, and given back when the request has been
// answered, whatever it was used for. So what is found may be used freely on the way, and is given back in one place. Most requests
// have one or two; more are those of a request that is decided several times.
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
