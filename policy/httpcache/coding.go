package httpcache

import (
	"net/http"
	"strings"
)

// Coding is a content coding (RFC 9110 §8.4.1).
type Coding uint8

const (
	Identity Coding = iota // no coding. The zero value
	Gzip                   // RFC 9110 §8.4.1.3
	Brotli                 // RFC 7932
	Zstd                   // RFC 8878, with the window that RFC 9659 allows

	codings
)

// String is the name in header fields.
func (c Coding) String() string { return [...]string{"identity", "gzip", "br", "zstd"}[c] }

// codingOf is the coding of a name, in any case; x-gzip is gzip (RFC 9110 §8.4.1.3).
func codingOf(name string) (Coding, bool) {
	for c := Identity; c < codings; c++ {
		if strings.EqualFold(name, c.String()) {
			return c, true
		}
	}
	return Gzip, strings.EqualFold(name, "x-gzip")
}

// acceptEncoding is the request field by which codings are selected.
const acceptEncoding = "Accept-Encoding"

// Unaccepted reports whether an answer has a content coding that its request does not accept (RFC 9110 §12.5.3).
// Codings outside of Coding do not count.
func Unaccepted(accepting []string, h http.Header) bool {
	if len(accepting) == 0 || !Coded(h) {
		return false
	}
	a := parseAcceptEncoding(accepting)
	for name := range Elements(h["Content-Encoding"]) {
		if c, known := codingOf(name); known && c != Identity && !a.accepts(c) {
			return true
		}
	}
	return false
}

// Coded reports whether an answer has a content coding other than identity.
func Coded(h http.Header) bool {
	for name := range Elements(h["Content-Encoding"]) {
		if name != "" && !strings.EqualFold(name, Identity.String()) {
			return true
		}
	}
	return false
}
