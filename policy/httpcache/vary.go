package httpcache

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/textproto"
	"slices"
)

// maxVary is how many field names a Vary may hold. A longer one would never match again anyway.
const maxVary = 16

// ParseVary reads Vary field lines (RFC 9110 §12.5.5): the canonical names, sorted, each once. star is set where no
// request can ever match: for "*", for what is not a field name, and for more names than are compared.
func ParseVary(lines []string) (names []string, star bool) {
	for name := range Elements(lines) {
		if name == "" {
			continue
		}
		if name == "*" || !isToken(name) {
			return nil, true
		}
		names = append(names, textproto.CanonicalMIMEHeaderKey(name))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxVary {
		return nil, true
	}
	return names, false
}

// VariantKey appends to dst the storage key of one variant: the primary key and the request fields that Vary selects,
// every part with its length, so that no two sets of values that mean something different give the same key. h is the request header as
// it is forwarded, not the client's: a field that the origin did not see selected nothing. Accept-Encoding counts by the codings that
// are accepted, not by its spelling.
func VariantKey(dst []byte, primary string, names []string, h http.Header) []byte {
	dst = AppendField(dst, primary)
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, name := range names {
		dst = AppendField(dst, name)
		lines := h[name]
		if len(lines) == 0 {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		var buf [selectorSize]byte
		value := appendSelector(buf[:0], name, lines)
		dst = append(binary.AppendUvarint(dst, uint64(len(value))), value...)
	}
	return dst
}

// VaryMatch reports whether two requests select the same variant (RFC 9111 §4.1): the named fields are absent from both,
// or have values that mean the same.
func VaryMatch(names []string, a, b http.Header) bool {
	for _, name := range names {
		x, y := a[name], b[name]
		var bufX, bufY [selectorSize]byte
		if (len(x) == 0) != (len(y) == 0) || !bytes.Equal(appendSelector(bufX[:0], name, x), appendSelector(bufY[:0], name, y)) {
			return false
		}
	}
	return true
}

// Selects reports whether a copy whose variant is made of the fields vary was fetched with all of selected that the request has (RFC 9111
// §4.1). A copy from before a field was known to matter says nothing of a request that has the field.
func Selects(vary, selected []string, h http.Header) bool {
	for _, name := range selected {
		if len(h[name]) > 0 && !slices.Contains(vary, name) {
			return false
		}
	}
	return true
}
