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
	// lines are the Content-Encoding, Content-Length and Etag of the body as it is held; the last is empty without one.
	lines [3]string
}

// NewCoded seals a response whose body is held in a coding. header is that of the plain body, and so is the copy's digest.
// None of the arguments is used afterwards by the caller but plain, of which nothing is kept. The caller has a reference to the copy.
func NewCoded(status int, header http.Header, plain []byte, coding httpcache.Coding, body []byte) *Copy {
	c := (&Copy{Status: status, Digest: digest(status, plain), coded: &coded{coding: coding, length: len(plain)}}).make(body)
	c.setHeader(header)
	c.coded.describe(c)
	return c
}

// describe writes the lines for the header and body of c.
func (d *coded) describe(c *Copy) {
	d.lines = [3]string{d.coding.String(), strconv.Itoa(len(c.body)), httpcache.WeakETag(c.Values("Etag"))}
}

// Coding is the coding that the body is held in and the header says nothing of; Identity: none.
func (c *Copy) Coding() httpcache.Coding {
	if c.coded == nil {
		return httpcache.Identity
	}
	return c.coded.coding
}

// Length is the length of the body without the coding that it is held in.
func (c *Copy) Length() int {
	if c.coded == nil {
		return len(c.body)
	}
	return c.coded.length
}

// Recode turns the header of the plain body into that of the body as it is held. The value slices are shared with the copy.
func (c *Copy) Recode(h http.Header) {
	if c.coded == nil {
		return
	}
	httpcache.RemoveDigests(h)
	lines := c.coded.lines[:]
	h["Content-Encoding"], h["Content-Length"] = lines[0:1:1], lines[1:2:2]
	if lines[2] != "" {
		h["Etag"] = lines[2:3:3]
	}
}

// RecodeNotModified is Recode for the header of a 304, which does not describe content.
func (c *Copy) RecodeNotModified(h http.Header) {
	if c.coded != nil && c.coded.lines[2] != "" {
		h["Etag"] = c.coded.lines[2:3:3]
	}
}

// codedOverhead is what a coded holds beside its strings' bytes.
const codedOverhead = 64

func (d *coded) cost() int {
	if d == nil {
		return 0
	}
	return codedOverhead + len(d.lines[1]) + len(d.lines[2])
}
