package store

import (
	"net/http"
	"strconv"

	"cacheproxy/policy/httpcache"
)

// coded describes a body that is held compressed.
type coded struct {
	coding httpcache.Coding
	length int // of the body without the coding
}

// NewCoded seals a response whose body is held in a coding. header is that of the plain body, and so is the copy's digest.
// None of the arguments is used afterwards by the caller but plain, of which nothing is kept. The caller has a reference to the copy.
func NewCoded(status int, header http.Header, plain []byte, coding httpcache.Coding, body []byte) *Copy {
	c := newLoose(status, Digest(status, plain), made{head: headOf(header), coded: &coded{coding: coding, length: len(plain)}})
	return c.begin(body)
}

// Coding is the coding in which the body is held, beyond what the header says; Identity: none.
func (c *Copy) Coding() httpcache.Coding {
	if c.isPacked() {
		return c.packed.coding()
	}
	if coded := c.made().coded; coded != nil {
		return coded.coding
	}
	return httpcache.Identity
}

// Length is the length of the body without the coding that it is held in.
func (c *Copy) Length() int {
	if c.isPacked() {
		return c.packed.length(c)
	}
	if coded := c.made().coded; coded != nil {
		return coded.length
	}
	return len(c.made().body)
}

// RecodeNotModified changes the header of a 304 about the plain body into that of a 304 about the body as it is held: only the ETag differs.
func (c *Copy) RecodeNotModified(h http.Header) {
	if c.Coding() == httpcache.Identity {
		return
	}
	if tag := httpcache.AppendWeakETag(nil, h["Etag"]); len(tag) > 0 {
		h["Etag"] = []string{string(tag)}
	}
}

// codingLines are the lines of Content-Encoding for each coding, which nobody writes to.
var codingLines = func() (lines [httpcache.Zstd + 1][1]string) {
	for coding := range lines {
		lines[coding][0] = httpcache.Coding(coding).String()
	}
	return lines
}()

// appendRecoded appends the values of the fields that differ where the body goes out as it is held: of Content-Length, which is n bytes
// long, and of Etag.
func (c *Copy) appendRecoded(to []byte) (text []byte, n int) {
	to = strconv.AppendInt(to, int64(len(c.Body())), 10)
	var tags [2]string
	return httpcache.AppendWeakETag(to, c.AppendValues(tags[:0], "Etag")), len(to)
}

// recode turns the header of the plain body into that of the body as it is held. values has room for two more; text is what appendRecoded
// gave.
func (c *Copy) recode(h http.Header, values []string, text string, n int) []string {
	httpcache.RemoveDigests(h)
	h["Content-Encoding"] = codingLines[c.Coding()][:]
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("Content-Length", text[:n])
	if len(text) > n {
		set("Etag", text[n:])
	}
	return values
}
