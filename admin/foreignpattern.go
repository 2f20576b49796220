package admin

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Plugins for Varnish write lists of tags, hosts and paths as regular expressions, because a ban takes expressions.
// Each reader below knows the few forms in use, extracts the names, and refuses every other expression.

// metaSigns are the signs of an expression that are not part of names.
const metaSigns = `()[]{}^$*+?|\`

// readKeys reads the keys of Surrogate-Key and xkey, separated by spaces, or by commas from Souin's clients. A key with
// a comma stands for itself and for its parts: the sender may mean either, and the headers of responses are read in the
// same way.
func readKeys(list string) (keys []string, err error) {
	if strings.Contains(list, "|") {
		return nil, fmt.Errorf("%q has a '|': separate keys by spaces", shorten(list))
	}
	for key := range strings.FieldsSeq(list) {
		keys = append(keys, withParts(strings.Trim(key, ","))...)
	}
	return keys, nil
}

// withParts returns a key, and its parts where the key has commas.
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

// readTags reads the tags of the other fields: separated by commas, '|' or spaces, or in one of FOSHttpCache's
// expressions for a list. Tags with spaces between them may also be one tag.
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

// unquoteEach reads alternatives, each a name with escaped signs (PHP's preg_quote).
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

// isWordByte reports whether a backslash before the byte changes its meaning, such as \d.
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

// readHostPattern reads hosts: ^host$, or ^(host|host)$, with signs escaped or not. whole: both anchors are present.
// Without one of them, the expression matches every host that contains one of the names.
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
	return hosts, begins && ends && (grouped || len(hosts) == 1), nil // in ^a|b$ each alternative has one anchor
}

// readPathPattern reads a path. A '$' at the end makes the path exact; other paths are prefixes. A prefix ends at a
// segment, while an expression may end inside one. The part of a segment at the end is therefore dropped: the prefix
// covers more than the expression, never less. A pattern that would become a prefix of a whole host in this way is
// refused.
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

// belowPath matches the end of a path that stands for everything below, as plugins of WordPress write it.
// belowPathOfBan also accepts /*.
var belowPath, belowPathOfBan = regexp.MustCompile(`/(?:\.\*|\(\.\*\))$`), regexp.MustCompile(`/(?:\.\*|\(\.\*\)|\*)$`)

// prefixOf is the prefix of a target that ends like belowPath and has no other sign of a pattern.
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
