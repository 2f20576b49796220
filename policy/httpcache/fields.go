package httpcache

import (
	"encoding/binary"
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

// Combined is the value of a field from all its lines (RFC 9110 §5.3).
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
func TrimOWS(s string) string { return strings.Trim(s, " \t") }

// Contradictory reports whether the lines of a field that may have one value only have several.
func Contradictory(lines []string) bool {
	for _, line := range lines {
		for value := range strings.SplitSeq(line, ",") {
			if TrimOWS(value) != TrimOWS(firstElement(lines[0])) {
				return true
			}
		}
	}
	return false
}

// firstElement is the first member of a comma-separated list.
func firstElement(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return first
}

// HasElement reports whether a list over all lines has the token, in any case.
func HasElement(lines []string, token string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(TrimOWS(element), token) {
				return true
			}
		}
	}
	return false
}

// tokenBytes are the bytes of a token (RFC 9110 §5.6.2).
var tokenBytes = func() (table [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		table[c] = true
	}
	return table
}()

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}
