package fill

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"
)

// negotiated adds Accept-Encoding to the Vary of an answer whose copy may be sent compressed: whatever the answer's length, and before there is a
// copy, since a downstream cache must not store either form for all clients.
func (r *Route) negotiated(status int, h http.Header) http.Header {
	if r.Compresses(status, h) {
		httpcache.VaryByCoding(h)
	}
	return h
}

// dated adds the time of arrival to an answer that does not say when it was made (RFC 9110 §6.6.1). Without it, every
// delivery of the copy would claim to have been made at that moment.
func dated(h http.Header, received time.Time) http.Header {
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
	return h
}

// newCopy makes a copy of an answer that is whole, held compressed where the route asks for it and it is worth it. header is
// what policy keeps of the origin's.
func newCopy(r *Route, status int, header http.Header, body []byte) *store.Copy {
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

// renewCopy makes the copy that a 304 or a HEAD renews. The answer may forbid to compress what was compressed, or to store it any
// longer.
func renewCopy(r *Route, c *store.Copy, header http.Header, stored bool) (*store.Copy, error) {
	if c.Coding() == httpcache.Identity || stored && r.Compresses(c.Status(), header) {
		return c.WithHeader(header), nil
	}
	plain, err := coding.Decode(c.Coding(), c.Body(), c.Length())
	if err != nil {
		return nil, fmt.Errorf("unpack copy: %w", err)
	}
	return store.NewCopy(c.Status(), header, plain), nil
}

// exact gives back memory when a body has grown into an array much larger than itself.
func exact(data []byte) []byte {
	if cap(data)-len(data) > len(data)/8 {
		return append(make([]byte, 0, len(data)), data...)
	}
	return data
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
