package httpcache

import (
	"encoding/binary"
	"iter"
	"strings"
)

func AppendField(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func AppendFlag(dst []byte, set bool) []byte {
	if set {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// Combined joins all lines of a field into one value (RFC 9110 §5.3).
func Combined(lines []string) string {
	if len(lines) == 1 {
		return TrimOWS(lines[0])
	}
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(TrimOWS(line))
	}
	return b.String()
}

// TrimOWS removes optional whitespace (RFC 9110 §5.6.3).
func TrimOWS(s string) string {
	for s != "" && isOWS(s[0]) {
		s = s[1:]
	}
	for s != "" && isOWS(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// Contradictory reports whether the lines of a field that may have only one value have several different ones.
func Contradictory(lines []string) bool {
	first, seen := "", false
	for value := range Elements(lines) {
		if seen && value != first {
			return true
		}
		first, seen = value, true
	}
	return false
}

// Elements are the members of a list over all lines (RFC 9110 §5.6.1), without the whitespace around them. Members may
// be empty.
func Elements(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for element := range strings.SplitSeq(line, ",") {
				if !yield(TrimOWS(element)) {
					return
				}
			}
		}
	}
}

// HasElement reports whether a list over all lines has the token, in any case.
func HasElement(lines []string, token string) bool {
	for element := range Elements(lines) {
		if strings.EqualFold(element, token) {
			return true
		}
	}
	return false
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool { return s != "" && tokenBytes.all(s) }
