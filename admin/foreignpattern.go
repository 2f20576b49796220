package admin

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Plugins for Varnish write lists of tags, hosts and paths as regular expressions, since that is what a ban takes. Each reader here
// knows the few forms in which they do, takes the names out, and refuses every other expression.

// metaSigns are what an expression has besides names.
const metaSigns = `()[]{}^$*+?|\`

// readKeys reads the keys of Surrogate-Key and xkey, which are separated by spaces, and by Souin's clients by commas as well. One with a
// comma in it stands for itself and for its parts: which of them is meant is not to be known, and responses are read alike.
func readKeys(list string) (keys []string, err error) {
	if strings.Contains(list, "|") {
		return nil, fmt.Errorf("%q has a '|': separate keys by spaces", shorten(list))
	}
	for key := range strings.FieldsSeq(list) {
		keys = append(keys, withParts(strings.Trim(key, ","))...)
	}
	return keys, nil
}

// withParts is a key, and its parts where it has commas.
func withParts(key string) (keys []string) {
	if key != "" {
		keys = append(keys, key)
	}
	if strings.Contains(key, ",") {
		for part := range strings.SplitSeq(key, ",") {
			if part != "" {
				keys = append(keys, part)
			}
		}
	}
	return keys
}

// readTags reads the tags of the other fields: separated by commas, '|' or spaces, or in one of the expressions that FOSHttpCache makes
// of a list. What spaces separate may be one tag, too.
func readTags(list string) (tags []string, err error) {
	list = strings.TrimSpace(list)
	for _, around := range [...][2]string{{"(^|,)(", ")(,|$)"}, {"(", ")(,.+)?$"}} {
		if inner, ok := strings.CutPrefix(list, around[0]); ok {
			if inner, ok = strings.CutSuffix(inner, around[1]); ok {
				return unquoteEach(inner)
			}
		}
	}
	for tag := range strings.FieldsFuncSeq(list, func(c rune) bool { return c == ',' || c == '|' }) {
		parts := strings.Fields(tag)
		if len(parts) > 1 {
			tags = append(tags, strings.TrimSpace(tag))
		}
		tags = append(tags, parts...)
	}
	return tags, nil
}

// unquoteEach reads alternatives of which each is a name with its signs escaped (PHP's preg_quote).
func unquoteEach(list string) (names []string, err error) {
	var name strings.Builder
	end := func() {
		if name.Len() > 0 {
			names = append(names, name.String())
		} else {
			err = errors.New("an alternative is empty")
		}
		name.Reset()
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && i+1 < len(list) && !isWordByte(list[i+1]):
			i++
			name.WriteByte(list[i])
		case c == '|':
			end()
		case strings.IndexByte(metaSigns, c) >= 0:
			return nil, fmt.Errorf("%q is an expression, and a list of names is understood, in which signs are escaped", shorten(list))
		default:
			name.WriteByte(c)
		}
	}
	end()
	return names, err
}

// isWordByte reports whether a byte means another thing after a backslash than by itself, such as \d.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// readMagentoPattern reads the tags of X-Magento-Tags-Pattern: alternatives, each a tag or ((^|,)tag(,|$)).
func readMagentoPattern(pattern string) (tags []string, err error) {
	const before, after = "((^|,)", "(,|$))"
	rest := strings.TrimSpace(pattern)
	for {
		var tag string
		wrapped, isWrapped := strings.CutPrefix(rest, before)
		if isWrapped {
			var closed bool
			if tag, rest, closed = strings.Cut(wrapped, after); !closed {
				return nil, notATagPattern(pattern)
			}
		} else {
			end := strings.IndexByte(rest, '|')
			if end < 0 {
				end = len(rest)
			}
			tag, rest = rest[:end], rest[end:]
		}
		if tag == "" || strings.ContainsAny(tag, metaSigns+", \t") {
			return nil, notATagPattern(pattern)
		}
		tags = append(tags, tag)
		if rest == "" {
			return tags, nil
		}
		var more bool
		if rest, more = strings.CutPrefix(rest, "|"); !more {
			return nil, notATagPattern(pattern)
		}
	}
}

func notATagPattern(pattern string) error {
	return fmt.Errorf("%q is understood as tags, each as ((^|,)tag(,|$)), with '|' between them, or as .* alone for everything", shorten(pattern))
}

// readHostPattern reads hosts: ^host$, or ^(host|host)$ with signs escaped or not. whole says that both anchors are there: without one,
// the expression fits every host that has a name of these in its own.
func readHostPattern(pattern string) (hosts []string, whole bool, err error) {
	inner, begins := strings.CutPrefix(pattern, "^")
	inner, ends := strings.CutSuffix(inner, "$")
	grouped := false
	if group, ok := strings.CutPrefix(inner, "("); ok {
		if group, ok = strings.CutSuffix(group, ")"); ok {
			inner, grouped = group, true
		}
	}
	hosts, err = unquoteEach(inner)
	if err != nil {
		return nil, false, fmt.Errorf("header \"X-Host\": %w", err)
	}
	for i, host := range hosts {
		if strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") || strings.Contains(host, "..") {
			return nil, false, fmt.Errorf("header \"X-Host\": %q is an expression, in which a '.' is any character, or has a '.' too many: send the name of a host in full, several as ^(a|b)$, or .*", shorten(host))
		}
		if hosts[i] = strings.ToLower(host); !plainHost.MatchString(host) {
			return nil, false, fmt.Errorf("header \"X-Host\": %q is not the name of a host: send one, several as ^(a|b)$, or .*", shorten(host))
		}
	}
	return hosts, begins && ends && (grouped || len(hosts) == 1), nil // in ^a|b$ each has one anchor
}

// readPathPattern reads a path: with '$' at its end it stands for itself, otherwise for whatever begins so. A prefix ends at a segment
// and an expression need not, so that what begins with a part of a segment is taken for everything beside it: more than was asked for,
// and never less. What would be everything that a host has in this way is refused.
func readPathPattern(pattern string) (t httpcache.Target, isPrefix bool, err error) {
	path, begins := strings.CutPrefix(pattern, "^")
	path, isEnd := strings.CutSuffix(path, "$")
	for _, below := range [...]string{"/.*", "/(.*)"} {
		if above, ok := strings.CutSuffix(path, below); ok {
			path, isPrefix = above+"/", true
		}
	}
	isPrefix = isPrefix || !isEnd
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\':
			i++
		case path[i] == '.' && (i == 0 || !isWordByte(path[i-1]) || i+1 == len(path) || !isWordByte(path[i+1])):
			return t, false, fmt.Errorf("header \"X-Url\": %q has a '.' that is any character: write \\. for one that is itself", shorten(pattern))
		}
	}
	plain, err := unquoteEach(path)
	if err != nil || len(plain) != 1 {
		return t, false, fmt.Errorf("header \"X-Url\": %q is a pattern, and of these a path is understood, as ^/path$, and everything below one, as ^/path/.*", shorten(pattern))
	}
	if t, err = splitTarget(plain[0]); err != nil {
		return t, false, err
	}
	segment := t.Path[strings.LastIndexByte(t.Path, '/')+1:]
	switch above := strings.TrimSuffix(t.Path, segment); {
	case t.HasQuery && isPrefix || t.Host != "":
		err = fmt.Errorf("header \"X-Url\": %q has a query or a host: send the path alone", shorten(pattern))
	case !begins:
		err = fmt.Errorf("header \"X-Url\": %q fits every path that has it in it: begin it with ^, as ^/path$ for one path or ^/path/ for everything below it", shorten(pattern))
	case isPrefix && segment != "" && above == "/":
		err = fmt.Errorf("header \"X-Url\": %q fits everything that begins so: end it with $ for the path alone, or with / for everything below it", shorten(pattern))
	case isPrefix:
		t.Path = above
	}
	return t, isPrefix, err
}

// belowPath is the end of a path that stands for everything below it, as plugins of WordPress write it; a BAN has /*, too.
var belowPath, belowPathOfBan = regexp.MustCompile(`/(?:\.\*|\(\.\*\))$`), regexp.MustCompile(`/(?:\.\*|\(\.\*\)|\*)$`)

// prefixOf is the prefix that a target stands for, if it is one with the end for that and no other sign.
func prefixOf(t httpcache.Target, ban bool) (httpcache.Target, bool) {
	end := belowPath
	if ban {
		end = belowPathOfBan
	}
	at := end.FindStringIndex(t.Path)
	if at == nil || t.HasQuery {
		return t, false
	}
	t.Path = t.Path[:at[0]+1]
	return t, !strings.ContainsAny(t.Path, metaSigns)
}
