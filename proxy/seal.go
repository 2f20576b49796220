package proxy

import (
	"fmt"
	"net/http"
	"strconv"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"
)

// negotiated says in an answer that it depends on Accept-Encoding, where a copy of it may go out compressed. That is so for
// long answers and short ones, and before there is a copy: a cache further down must not take one form for all.
func (r *route) negotiated(status int, h http.Header) http.Header {
	if r.Compresses(status, h) {
		httpcache.VaryByCoding(h)
	}
	return h
}

// seal makes a copy of an answer that is whole, held compressed where the route asks for it and it is worth it. header is
// what policy keeps of the origin's.
func (r *route) seal(status int, header http.Header, body []byte) *store.Copy {
	if header.Get("Content-Length") == "" && bodyAllowed(status) {
		header = header.Clone()
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if r.Compresses(status, header) {
		if held := coding.Encode(r.Compression, body); held != nil {
			return store.NewCoded(status, header, body, r.Compression, held)
		}
	}
	return store.NewCopy(status, header, exact(body))
}

// reseal makes the copy that a 304 renews. It may forbid to compress what was compressed, or to store it any longer.
func (r *route) reseal(c *store.Copy, header http.Header, stored bool) (*store.Copy, error) {
	if c.Coding() == httpcache.Identity || stored && r.Compresses(c.Status, header) {
		return c.WithHeader(header), nil
	}
	plain, err := coding.Decode(c.Coding(), c.Body, c.Length())
	if err != nil {
		return nil, fmt.Errorf("unpack copy: %w", err)
	}
	return store.NewCopy(c.Status, header, plain), nil
}
