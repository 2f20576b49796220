package httpcache

import (
	"slices"
	"strings"
)

// singular are request fields that hold one value, in which a comma separates nothing.
var singular = map[string]bool{
	"Authorization": true, "Cookie": true, "Date": true, "From": true, "Host": true, "If-Modified-Since": true,
	"If-Unmodified-Since": true, "Origin": true, "Referer": true, "User-Agent": true,
}

// selectorSize is room for what most values take.
const selectorSize = 128

// appendSelector appends the value of a request field in a form that is the same for all values that mean the same, and
// for no others (RFC 9111 §4.1): however they are spread over lines and whatever the space around list elements. Of the
// fields that rank preferences (RFC 9110 §12.5) neither order nor case matter, only the weights. A value that does not
// follow the grammar stands for itself.
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

// appendClosedUp appends a list without the space around its commas, but for those in quoted-strings. A quote that does
// not end leaves in doubt what is a comma, and the value as it is.
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

// preference is one element of a field that ranks what a client accepts.
type preference struct {
	item   string // in lower case
	weight int16  // in thousandths (RFC 9110 §12.4.2)
}

// preferences appends the elements of a field of tokens with weights (RFC 9110 §12.5.2 to §12.5.4). It is not ok if
// anything else is there.
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

// appendRanking appends preferences in one order, whatever theirs was. What it writes can be read again, so it is never
// what a value that cannot be read stands for.
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
