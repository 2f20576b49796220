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

// negotiated adds Accept-Encoding to the Vary of an answer whose copy may be sent compressed. The length of the
// answer does not matter, nor whether a copy exists already: a downstream cache must not store either form for all
// clients.
func (r *Route) negotiated(status int, h http.Header) http.Header {
	if r.Compresses(status, h) {
		httpcache.VaryByCoding(h)
	}
	return h
}

// dated adds the time of arrival to an answer without Date (RFC 9110 §6.6.1). Without a Date, every delivery of the
// copy would claim to have been made at that moment.
func dated(h http.Header, received time.Time) http.Header {
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
	return h
}

// newCopy makes a copy of a whole answer. The copy is held compressed if the route asks for compression and
// compression saves enough. header is the part of the origin's header that policy keeps.
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

// renewCopy makes the copy that a 304 or a HEAD renews. If c is compressed, and the new header forbids compression or
// stored is false, the new copy has the plain body.
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

// exact gives back memory when a body has grown into an array much larger than the body.
func exact(data []byte) []byte {
	if cap(data)-len(data) > len(data)/8 {
		return append(make([]byte, 0, len(data)), data...)
	}
	return data
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
