package admin

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"cacheproxy/policy/httpcache"
)

// splitTarget splits a request target or a URL without decoding or cleaning: "/path?query", or
// "http://host/path?query". Scheme and host are in lower case, and empty where missing.
func splitTarget(raw string) (httpcache.Target, error) {
	var t httpcache.Target
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c == 0x7f || c == '#' {
			return t, fmt.Errorf("%q holds a space, a control character or '#': percent-encode it", shorten(raw))
		}
	}
	rest := raw
	if !strings.HasPrefix(raw, "/") {
		scheme, after, ok := strings.Cut(raw, "://")
		scheme = strings.ToLower(scheme)
		if !ok || scheme != "http" && scheme != "https" {
			return t, fmt.Errorf("%q is neither a path that begins with '/' nor a URL that begins with http:// or https://", shorten(raw))
		}
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		t.Scheme, t.Host, rest = scheme, strings.ToLower(after[:end]), after[end:]
		if t.Host == "" || strings.ContainsAny(t.Host, `@\%`) {
			return httpcache.Target{}, fmt.Errorf("%q has no host, or one with user information or escapes", shorten(raw))
		}
	}
	t.Path, t.Query, t.HasQuery = strings.Cut(rest, "?")
	if t.Path == "" {
		t.Path = "/" // RFC 9110 §4.2.3: an empty path is "/"
	}
	return t, nil
}

// splitPrefix reads a path prefix: like a URL, but without a query, which has nothing below.
func splitPrefix(raw string) (httpcache.Target, error) {
	t, err := splitTarget(raw)
	if err != nil {
		return t, err
	}
	if t.HasQuery {
		return httpcache.Target{}, fmt.Errorf("prefix %q has a query: leave it out, a prefix covers every query", shorten(raw))
	}
	return t, nil
}

// unescape decodes a name in the path exactly once: %2F is a slash, %252F the three characters %2F.
func unescape(raw string) (string, error) {
	name, err := url.PathUnescape(raw)
	if err != nil {
		return "", fmt.Errorf("unescape name: %w", err)
	}
	if name == "" {
		return "", errors.New("the path ends where a name is expected")
	}
	return name, nil
}
