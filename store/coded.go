package store

import (
	"net/http"
	"strconv"

	"cacheproxy/policy/httpcache"
)

// coded describes a body that is held in a coding which the origin did not send.
type coded struct {
	coding httpcache.Coding
	length int // of the body without the coding
}

// NewCoded seals a response whose body is held in a coding. header and the digest are those of the plain body. The
// caller must not use header or body afterwards. The copy keeps nothing of plain. The caller has one reference to the
// copy.
func NewCoded(status int, header http.Header, plain []byte, coding httpcache.Coding, body []byte) *Copy {
	c := newLoose(status, Digest(status, plain), made{head: headOf(header), coded: &coded{coding: coding, length: len(plain)}})
	return c.begin(body)
}

// Coding is the coding in which the body is held and of which the header says nothing. Identity means no such coding.
func (c *Copy) Coding() httpcache.Coding {
	if c.isPacked() {
		return c.packed.coding()
	}
	if coded := c.made().coded; coded != nil {
		return coded.coding
	}
	return httpcache.Identity
}

// Length is the length of the body without the coding of Coding.
func (c *Copy) Length() int {
	if c.isPacked() {
		return c.packed.length(c)
	}
	if coded := c.made().coded; coded != nil {
		return coded.length
	}
	return len(c.made().body)
}

// RecodeNotModified turns the header of a 304 about the plain body into the header of a 304 about the body as held. A
// 304 does not describe content, so only the Etag changes.
func (c *Copy) RecodeNotModified(h http.Header) {
	if c.Coding() == httpcache.Identity {
		return
	}
	if tag := httpcache.AppendWeakETag(nil, h["Etag"]); len(tag) > 0 {
		h["Etag"] = []string{string(tag)}
	}
}

// codingLines are the lines of Content-Encoding for each coding. Headers share these arrays, so nobody may write to
// them.
var codingLines = func() (lines [httpcache.Zstd + 1][1]string) {
	for coding := range lines {
		lines[coding][0] = httpcache.Coding(coding).String()
	}
	return lines
}()

// appendRecoded appends the values of the fields that differ where the body goes out as held: first of Content-Length,
// a text of n bytes, then of Etag.
func (c *Copy) appendRecoded(to []byte) (text []byte, n int) {
	to = strconv.AppendInt(to, int64(len(c.Body())), 10)
	var tags [2]string
	return httpcache.AppendWeakETag(to, c.AppendValues(tags[:0], "Etag")), len(to)
}

// recode turns the header of the plain body into the header of the body as held. values must have room for two more.
// text and n are what appendRecoded returned.
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
