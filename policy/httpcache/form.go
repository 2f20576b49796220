package httpcache

import (
	"iter"
	"strings"
)

// HasName reports whether the unescaped form of raw is want. If open is set, raw only has to begin with want.
func HasName(raw, want string, open bool) bool {
	u := unescaper{text: raw, plus: true}
	for i := range len(want) {
		if u.next() != int(want[i]) {
			return false
		}
	}
	return open || u.next() < 0
}

func CompareNames(a, b string) int {
	return compareUnescaped(unescaper{text: a, plus: true}, unescaper{text: b, plus: true})
}

func PieceName(piece string) string {
	name, _, _ := strings.Cut(piece, "=")
	return name
}

// IsQueryPiece reports whether a piece means the same to every parser of queries.
func IsQueryPiece(piece string) bool {
	for i := 0; i < len(piece); i++ {
		switch c := piece[i]; {
		case c <= ' ', c == 0x7f, c == ';', c == '#':
			return false
		case c == '%':
			if _, ok := UnescapeAt(piece, i); !ok {
				return false
			}
			i += 2
		}
	}
	return true
}

// QueryValues are the unescaped values of a parameter, in the order of the query. A parameter without "=" has the value
// "".
func QueryValues(query, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for piece := range strings.SplitSeq(query, "&") {
			raw, value, _ := strings.Cut(piece, "=")
			if piece != "" && HasName(raw, name, false) && !yield(unescapeForm(value)) {
				return
			}
		}
	}
}

// unescapeForm unescapes a value of a query. A broken escape stands for itself.
func unescapeForm(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for u := (unescaper{text: s, plus: true}); ; {
		c := u.next()
		if c < 0 {
			return string(b)
		}
		b = append(b, byte(c))
	}
}
