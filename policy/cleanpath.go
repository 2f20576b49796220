package policy

import (
	"path"
	"strings"

	"cacheproxy/policy/httpcache"
)

// isCleanPath reports whether a raw path means the same to everyone. A path with empty or dot segments, backslashes,
// control bytes or broken escapes is resolved by some origins and taken as it is by others, so that the route that it
// seems to belong to may not be the one that answers (web cache deception rests on that). Dot segments count with their
// dots, slashes and backslashes escaped, and with parameters: "..;" and "..%2f" are ".." to somebody.
func isCleanPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	suspect := false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c <= ' ' || c == 0x7f || c == '\\' || c == '#' || c == '?':
			return false
		case c == '/':
			if i+1 < len(p) && p[i+1] == '/' {
				return false
			}
		case c == '.':
			suspect = true
		case c == '%':
			b, ok := httpcache.UnescapeAt(p, i)
			if !ok {
				return false
			}
			suspect = suspect || b == '.'
			i += 2
		}
	}
	return !suspect || !hasDotSegment(p)
}

// hasDotSegment reports whether p, read with its escapes undone once, has "." or ".." between two of its slashes,
// backslashes, ends, or before a semicolon.
func hasDotSegment(p string) bool {
	dots, others := 0, 0
	for i := 0; i < len(p); i++ {
		c := p[i]
		if b, ok := httpcache.UnescapeAt(p, i); ok {
			c = b
			i += 2
		}
		switch c {
		case '.':
			dots++
		case '/', '\\', ';':
			if others == 0 && (dots == 1 || dots == 2) {
				return true
			}
			dots, others = 0, 0
			if c == ';' {
				others = 1 // what follows is a parameter
			}
		default:
			others++
		}
	}
	return others == 0 && (dots == 1 || dots == 2)
}

// CleanTarget is t with the path as an origin would see it that resolves dot segments, backslashes, empty segments and escaped separators. An escaped
// slash is not equivalent to a slash (RFC 3986 §2.2), but many origins decode it first. A write invalidates both paths, which at worst invalidates more
// than needed. The clean path is never forwarded, and nothing is stored or served under it.
func CleanTarget(t httpcache.Target) httpcache.Target {
	if t.Path == "*" || isCleanPath(t.Path) && !hasEscapedSeparator(t.Path) {
		return t
	}
	plain := unescapeSeparators(t.Path)
	segments := strings.FieldsFunc(plain, func(c rune) bool { return c == '/' })
	for i, s := range segments {
		if name, _, _ := strings.Cut(s, ";"); name == "." || name == ".." {
			segments[i] = name
		}
	}
	joined := "/" + strings.Join(segments, "/")
	clean := path.Clean(joined)
	if strings.HasSuffix(plain, "/") && clean != "/" {
		clean += "/"
	}
	t.Path = httpcache.CanonicalPath(clean)
	return t
}

// hasEscapedSeparator reports whether a slash or a backslash is escaped in p.
func hasEscapedSeparator(p string) bool {
	for i := strings.IndexByte(p, '%'); i >= 0 && i < len(p); i++ {
		if b, ok := httpcache.UnescapeAt(p, i); ok && (b == '/' || b == '\\') {
			return true
		}
	}
	return false
}

// unescapeSeparators undoes the escapes of dots, slashes and backslashes, and makes all of these slashes forward ones.
func unescapeSeparators(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		if d, ok := httpcache.UnescapeAt(p, i); ok && (d == '.' || d == '/' || d == '\\') {
			c = d
			i += 2
		}
		if c == '\\' {
			c = '/'
		}
		b.WriteByte(c)
	}
	return b.String()
}
