package store

import (
	"net/http"
	"strconv"

	"cacheproxy/policy/httpcache"
)

// coded says how a copy's body is held when not as the origin sent it.
type coded struct {
	coding httpcache.Coding
	length int // of the body without the coding
}

// NewCoded seals a response whose body is held in a coding. header is that of the plain body, and so is the copy's digest.
// None of the arguments is used afterwards by the caller but plain, of which nothing is kept. The caller has a reference to the copy.
func NewCoded(status int, header http.Header, plain []byte, coding httpcache.Coding, body []byte) *Copy {
	c := &Copy{Status: status, Digest: digest(status, plain), made: &made{head: headOf(header), coded: &coded{coding: coding, length: len(plain)}}}
	return c.begin(body)
}

// Coding is the coding that the body is held in and the header says nothing of; Identity: none.
func (c *Copy) Coding() httpcache.Coding {
	switch m := c.made; {
	case m.room != nil:
		return c.packed.coding
	case m.coded != nil:
		return m.coded.coding
	}
	return httpcache.Identity
}

// Length is the length of the body without the coding that it is held in.
func (c *Copy) Length() int {
	switch m := c.made; {
	case m.room != nil:
		return c.packed.length(c)
	case m.coded != nil:
		return m.coded.length
	}
	return len(c.made.body)
}

// Recode turns the header of the plain body into that of the body as it is held.
func (c *Copy) Recode(h http.Header) {
	if c.Coding() == httpcache.Identity {
		return
	}
	httpcache.RemoveDigests(h)
	h["Content-Encoding"], h["Content-Length"] = []string{c.Coding().String()}, []string{strconv.Itoa(len(c.Body()))}
	c.RecodeNotModified(h)
}

// RecodeNotModified is Recode for the header of a 304, which does not describe content.
func (c *Copy) RecodeNotModified(h http.Header) {
	if c.Coding() == httpcache.Identity {
		return
	}
	if tag := httpcache.WeakETag(c.Values("Etag")); tag != "" {
		h["Etag"] = []string{tag}
	}
}
