package httpcache

import "net/http"

// CookieReader reads the cookies of a request in order and unchanged. Text that is not a cookie-pair (RFC 6265 §4.2.1)
// ends the reading: an origin may take such text for another cookie.
type CookieReader struct {
	lines     []string // not yet begun
	line      string   // the rest of the current line
	Malformed bool
}

// RequestCookies starts reading the cookies of a request header.
func RequestCookies(h http.Header) CookieReader { return CookieReader{lines: h["Cookie"]} }

// Next returns the next cookie. ok is false at the end, or where the field is malformed.
func (c *CookieReader) Next() (name, value string, ok bool) {
	for !c.Malformed {
		if c.line == "" {
			if len(c.lines) == 0 {
				return "", "", false
			}
			c.line, c.lines = c.lines[0], c.lines[1:]
		}
		name, value, c.line = cutCookie(c.line)
		if name == "" && value == "" {
			continue // two semicolons in a row, or one at the end
		}
		if isToken(name) && isCookieValue(value) {
			return name, value, true
		}
		c.Malformed = true
	}
	return "", "", false
}

// isCookieValue reports whether s is cookie-value of RFC 6265 §4.1.1. Cookie parsers disagree about quotes, commas and
// backslashes inside a value, which cookie-value does not allow.
func isCookieValue(s string) bool {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	return cookieBytes.all(s)
}
