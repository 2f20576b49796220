package httpcache

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/textproto"
	"slices"
)

// maxVary bounds the field names of a Vary. A longer Vary would hardly ever match again.
const maxVary = 16

// ParseVary reads Vary field lines (RFC 9110 §12.5.5) into canonical names, sorted, without duplicates. star is set
// where no request can ever match: for "*", for text that is no field name, and for more than maxVary names.
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

// VariantKey appends to dst the storage key of one variant: the primary key and the request fields that Vary selects.
// Each part has its length before it, so that two sets of values with different meanings never give the same key. h is
// the request header as forwarded, not the client's: a field that the origin did not see selected nothing.
// Accept-Encoding counts by the set of accepted codings, not by its spelling.
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

// VaryMatch reports whether two requests select the same variant (RFC 9111 §4.1): each of the named fields is absent
// from both, or has values with the same meaning.
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

// Selects reports whether vary, the selecting fields of a copy, has every field of selected that the request has (RFC
// 9111 §4.1). A copy that was stored before a field was known to select cannot answer a request with that field.
func Selects(vary, selected []string, h http.Header) bool {
	for _, name := range selected {
		if len(h[name]) > 0 && !slices.Contains(vary, name) {
			return false
		}
	}
	return true
}
