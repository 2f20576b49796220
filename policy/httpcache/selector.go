package httpcache

import (
	"slices"
	"strings"
)

// singular are request fields with one value, in which a comma separates nothing.
var singular = map[string]bool{
	"Authorization": true, "Cookie": true, "Date": true, "From": true, "Host": true, "If-Modified-Since": true,
	"If-Unmodified-Since": true, "Origin": true, "Referer": true, "User-Agent": true,
}

// selectorSize is the usual size of a selector in bytes.
const selectorSize = 128

// appendSelector appends the value of a request field in a form that is the same exactly for the values that mean the
// same (RFC 9111 §4.1), whatever the split into lines and the space around list elements. In fields that rank
// preferences (RFC 9110 §12.5) neither order nor case matter, only the weights. A malformed value is appended as it is.
func appendSelector(dst []byte, name string, lines []string) []byte {
	value := Combined(lines)
	switch name {
	case acceptEncoding:
		return append(dst, parseAcceptEncoding(lines).canonical()...)
	case "Accept-Language", "Accept-Charset":
		var few [16]preference
		if list, ok := preferences(few[:0], value); ok {
			return appendRanking(dst, list)
		}
		return append(dst, value...)
	}
	if singular[name] || !strings.Contains(value, ",") {
		return append(dst, value...)
	}
	return appendClosedUp(dst, value)
}

// appendClosedUp appends a list without the space around its commas, except in quoted-strings. A value with an unclosed
// quote is appended as it is, since its commas are ambiguous.
func appendClosedUp(dst []byte, value string) []byte {
	b, start := dst, len(dst)
	quoted := false
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == '\\' && quoted && i+1 < len(value):
			b = append(b, c)
			i++
			c = value[i]
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			for len(b) > start && isOWS(b[len(b)-1]) {
				b = b[:len(b)-1]
			}
			for i+1 < len(value) && isOWS(value[i+1]) {
				i++
			}
		}
		b = append(b, c)
	}
	if quoted {
		return append(b[:start], value...)
	}
	return b
}

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

// preference is one element of a field that ranks acceptable values.
type preference struct {
	item   string // in lower case
	weight int16  // in thousandths (RFC 9110 §12.4.2)
}

// preferences appends the elements of a field of tokens with weights (RFC 9110 §12.5.2 to §12.5.4). ok is false where
// any element has another form.
func preferences(list []preference, value string) (_ []preference, ok bool) {
	for element := range strings.SplitSeq(value, ",") {
		element = TrimOWS(element)
		if element == "" { // a recipient accepts empty list elements (§5.6.1.2)
			continue
		}
		item, weight, ok := codingWeight(element)
		if !ok || !isToken(item) {
			return nil, false
		}
		list = append(list, preference{strings.ToLower(item), weight})
	}
	return list, true
}

// appendRanking appends preferences sorted by item and weight. The result is well-formed, so it never equals a
// malformed value, which appendSelector appends as it is.
func appendRanking(dst []byte, list []preference) []byte {
	slices.SortFunc(list, func(a, b preference) int {
		if c := strings.Compare(a.item, b.item); c != 0 {
			return c
		}
		return int(a.weight) - int(b.weight)
	})
	for i, p := range slices.Compact(list) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, p.item...)
		if p.weight < 1000 {
			dst = append(dst, ";q=0."...)
			dst = append(dst, byte('0'+p.weight/100), byte('0'+p.weight/10%10), byte('0'+p.weight%10))
		}
	}
	return dst
}
