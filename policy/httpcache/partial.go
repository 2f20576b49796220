package httpcache

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// PartOf says which part of a whole a 206 carries.
type PartOf struct {
	Span
	Size int64 // of the whole
}

// String is the value of Content-Range (RFC 9110 §14.4).
func (p PartOf) String() string {
	b := append(make([]byte, 0, 64), "bytes "...)
	b = append(strconv.AppendInt(b, p.First, 10), '-')
	b = append(strconv.AppendInt(b, p.Last, 10), '/')
	return string(strconv.AppendInt(b, p.Size, 10))
}

// ParseContentRange reads the Content-Range of a 206 with one part (RFC 9110 §14.4). The size must be known: without
// the size, nothing tells when all parts of the whole are there.
func ParseContentRange(h http.Header) (PartOf, bool) {
	lines := h["Content-Range"]
	if len(lines) != 1 {
		return PartOf{}, false
	}
	unit, rest, _ := strings.Cut(TrimOWS(lines[0]), " ")
	if !strings.EqualFold(unit, "bytes") {
		return PartOf{}, false
	}
	span, size, _ := strings.Cut(rest, "/")
	first, last, _ := strings.Cut(span, "-")
	var p PartOf
	var ok [3]bool
	p.First, ok[0] = parsePosition(first)
	p.Last, ok[1] = parsePosition(last)
	p.Size, ok[2] = parsePosition(size)
	valid := ok == [3]bool{true, true, true} && p.First <= p.Last && p.Last < p.Size && p.Size < math.MaxInt64
	if !valid {
		return PartOf{}, false
	}
	return p, true
}

// ofOnePart are the fields of a 206 that describe the part and not the whole.
var ofOnePart = [...]string{"Content-Range", "Content-Length", "Content-Digest", "Content-Md5"}

// WholeHeader is the part of a 206's header that describes the whole. h is not changed.
func WholeHeader(h http.Header) http.Header {
	whole := h.Clone()
	for _, name := range ofOnePart {
		delete(whole, name)
	}
	return whole
}

// MakePartial turns the header of a 200 into that of a 206 with one part (RFC 9110 §15.3.7.1). Only the fields about
// the content of this message change. Repr-Digest is about the whole and stays.
func MakePartial(h http.Header, part PartOf) {
	for _, name := range ofOnePart {
		delete(h, name)
	}
	h["Content-Range"] = []string{part.String()}
	h["Content-Length"] = []string{strconv.FormatInt(part.Len(), 10)}
}

// Combinable reports whether parts of responses with these headers are parts of the same whole: they have the same
// strong validator (RFC 9111 §3.4).
func Combinable(a, b http.Header) bool {
	validator := StrongValidator(a)
	if validator == "" || validator != StrongValidator(b) {
		return false
	}
	// Content in another coding is another representation, even where a careless origin gives both the same validator.
	return Combined(a["Content-Encoding"]) == Combined(b["Content-Encoding"])
}
