package httpcache

import "strings"

const upperHex = "0123456789ABCDEF"

// UnescapeAt reads the percent-encoded byte that begins at s[i] (RFC 3986 §2.1).
func UnescapeAt(s string, i int) (byte, bool) {
	if s[i] != '%' || i+2 >= len(s) {
		return 0, false
	}
	high, ok1 := unhex(s[i+1])
	low, ok2 := unhex(s[i+2])
	return high<<4 | low, ok1 && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// unescaper yields the bytes of a percent-encoded text one by one, without allocating. A broken escape stands for
// itself, as in ServeMux.
type unescaper struct {
	text string
	at   int
	plus bool // '+' is a space, as in form data
}

// next is the next unescaped byte, or -1 at the end.
func (u *unescaper) next() int {
	if u.at >= len(u.text) {
		return -1
	}
	c := u.text[u.at]
	u.at++
	if c == '+' && u.plus {
		return ' '
	}
	if c == '%' {
		if b, ok := UnescapeAt(u.text, u.at-1); ok {
			u.at += 2
			return int(b)
		}
	}
	return int(c)
}

// compareUnescaped compares the rest of a and b, byte by byte, as strings.Compare would.
func compareUnescaped(a, b unescaper) int {
	for {
		x, y := a.next(), b.next()
		if x != y {
			return x - y
		}
		if x < 0 {
			return 0
		}
	}
}

// CompareEscaped compares a percent-encoded text with a plain one, as strings.Compare would after unescaping.
func CompareEscaped(raw, plain string) int {
	u := unescaper{text: raw}
	for i := range len(plain) {
		if c := u.next(); c != int(plain[i]) {
			return c - int(plain[i])
		}
	}
	return u.next() + 1
}

// Escape percent-encodes the bytes of s for which unsafe holds. It returns s itself where s has no such byte.
func Escape(s string, unsafe func(byte) bool) string {
	n := 0
	for i := range len(s) {
		if unsafe(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*n)
	for i := range len(s) {
		writeEscaped(&b, s[i], unsafe(s[i]))
	}
	return b.String()
}

func writeEscaped(b *strings.Builder, c byte, escaped bool) {
	if !escaped {
		b.WriteByte(c)
		return
	}
	b.WriteByte('%')
	b.WriteByte(upperHex[c>>4])
	b.WriteByte(upperHex[c&15])
}

// IsUnreserved reports whether c is unreserved in a URI (RFC 3986 §2.3).
func IsUnreserved(c byte) bool {
	return unreservedBytes[c]
}

// isPathByte reports whether c stands for itself in a path: pchar of RFC 3986 §3.3, or a slash.
func isPathByte(c byte) bool {
	return pathBytes[c]
}

// isQueryByte reports whether c stands for itself in a query (RFC 3986 §3.4).
func isQueryByte(c byte) bool { return isPathByte(c) || c == '?' }

// CanonicalPath writes equivalent paths alike (RFC 3986 §6.2.2.1, §6.2.2.2). Bytes that a path may have stay unescaped,
// all others are escaped in upper case. An escaped slash stays escaped. Names of copies are built from the canonical
// path, but keys never are.
func CanonicalPath(p string) string {
	return canonical(p, isPathByte, func(c byte) bool { return isPathByte(c) && c != '/' })
}

// CanonicalQuery is CanonicalPath for queries. Escaped delimiters stay escaped. A plus sign becomes %20, which means
// the same to a reader of forms.
func CanonicalQuery(q string) string {
	return canonical(q, func(c byte) bool { return isQueryByte(c) && c != '+' }, IsUnreserved)
}

func canonical(s string, plain, unescapes func(byte) bool) string {
	same := true
	for i := 0; same && i < len(s); i++ {
		same = plain(s[i])
	}
	if same {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := UnescapeAt(s, i); ok {
			writeEscaped(&b, c, !unescapes(c))
			i += 2
			continue
		}
		c := s[i]
		if c == '+' && !plain(c) {
			c = ' '
		}
		writeEscaped(&b, c, !plain(c))
	}
	return b.String()
}
