package httpcache

import "strings"

// ResolveReference resolves a URI reference against a target (RFC 3986 §5.2), and changes no byte that resolution does
// not change. ok reports whether the result has the same origin: scheme, host and port (RFC 9110 §4.3.1).
func ResolveReference(base Target, ref string) (Target, bool) {
	ref, _, _ = strings.Cut(strings.Trim(ref, " \t"), "#")
	if scheme, after, ok := cutScheme(ref); ok {
		if !strings.EqualFold(scheme, base.Scheme) || !strings.HasPrefix(after, "//") {
			return Target{}, false
		}
		ref = after
	}
	u := Target{Scheme: base.Scheme, Host: base.Host}
	if after, ok := strings.CutPrefix(ref, "//"); ok {
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		if !sameAuthority(base.Scheme, after[:end], base.Host) {
			return Target{}, false
		}
		if ref = after[end:]; ref == "" || ref[0] == '?' {
			ref = "/" + ref
		}
	}
	path, query, hasQuery := strings.Cut(ref, "?")
	u.Query, u.HasQuery = query, hasQuery
	switch {
	case path == "":
		u.Path = base.Path
		if !hasQuery {
			u.Query, u.HasQuery = base.Query, base.HasQuery
		}
	case path[0] == '/':
		u.Path = removeDotSegments(path)
	default:
		u.Path = removeDotSegments(base.Path[:strings.LastIndexByte(base.Path, '/')+1] + path)
	}
	return u, strings.HasPrefix(u.Path, "/")
}

// cutScheme cuts the scheme off an absolute URI (RFC 3986 §3.1).
func cutScheme(ref string) (scheme, after string, ok bool) {
	scheme, after, ok = strings.Cut(ref, ":")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/?") {
		return "", ref, false
	}
	return scheme, after, true
}

func sameAuthority(scheme, a, b string) bool {
	return strings.EqualFold(withPort(scheme, a), withPort(scheme, b))
}

// withPort adds the port of the scheme to an authority without a port.
func withPort(scheme, authority string) string {
	host := HostOnly(authority)
	port := strings.TrimPrefix(authority[len(host):], ":")
	host = strings.TrimSuffix(host, ".")
	if port != "" {
		return host + ":" + port
	}
	if strings.EqualFold(scheme, "https") {
		return host + ":443"
	}
	return host + ":80"
}

// Origin is the origin of a host (RFC 6454 §6.2), always with its port.
func Origin(scheme, host string) string {
	scheme = strings.ToLower(scheme)
	return scheme + "://" + strings.ToLower(withPort(scheme, host))
}

// removeDotSegments implements RFC 3986 §5.2.4 for a path that begins with a slash.
func removeDotSegments(path string) string {
	segments := strings.Split(path, "/")[1:]
	var out []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		case ".":
		default:
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}
