package admin

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// A purge takes names, URLs and prefixes literally. A text that looks like a pattern is refused: no copy would match
// it, and the receipt would still report success. A caller that means such a sign literally can percent-encode the
// sign, which names the same copies.
var (
	// signInPath matches '*' at the end of a segment, ".*", ".+", '$' at the end, and the signs of patterns and
	// templates that a URI must escape (RFC 3986 §3.3).
	signInPath = regexp.MustCompile(`\.[*+]|\*(?:/|$)|\$$|[\^\\|\[\]{}]`)
	// signInQuery matches less: brackets, braces, '+', and '*' before the end are common in queries.
	signInQuery = regexp.MustCompile(`\.\*|\*$|\$$`)
	// signInName matches '*' at the beginning or at the end of a part, ".*", anchors, and a placeholder of the
	// configuration.
	signInName = regexp.MustCompile(`^\*|\*(?:[:/]|$)|\.\*|^\^|\(\^|\$\)|\$$|\{[A-Za-z_][A-Za-z0-9_.-]*\}`)

	plainHost = regexp.MustCompile(`^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?$`)
)

// checkLiteral refuses a URL or prefix that looks like a pattern, and a host that no request can have.
func checkLiteral(t httpcache.Target, isPrefix bool) error {
	if authority, _, _ := strings.Cut(strings.TrimPrefix(t.Path, "//"), "/"); t.Host == "" && strings.HasPrefix(t.Path, "//") && strings.Contains(authority, ".") {
		return fmt.Errorf("%q may be a path or a URL without its scheme: for the latter write %q", shorten(t.String()), shorten("http:"+t.String()))
	}
	if t.Host != "" && !plainHost.MatchString(t.Host) {
		return fmt.Errorf("%q is not the name of a host: give one, without patterns and in ASCII, or for every host a path by POST /purge with {\"urls\":[%q]}",
			shorten(t.Host), shorten(t.Path))
	}
	if _, err := url.PathUnescape(t.Path); err != nil {
		return fmt.Errorf("%q has an escape that is none, and no request can have it: write %%25 for a %% that stands for itself", shorten(t.String()))
	}
	where, sign, inQuery := t.Path, signInPath.FindStringIndex(t.Path), false
	if sign == nil {
		where, sign, inQuery = t.Query, signInQuery.FindStringIndex(t.Query), true
	}
	var instead string
	switch {
	case sign == nil:
		return nil
	case inQuery:
		instead = "without a query the path goes with every query"
	case isPrefix:
		instead = fmt.Sprintf("a prefix covers everything below it as it is: send %q", below(t, sign[0]))
	default:
		instead = fmt.Sprintf(`for everything below a path send POST /purge with {"prefixes":[%q]}`, below(t, sign[0]))
	}
	literal := strings.Trim(where[sign[0]:sign[1]], "./")
	return fmt.Errorf("%q looks like a pattern, which is not understood here: %s; where %q stands for itself, send it as %s",
		shorten(t.String()), instead, literal, percentEncode(literal))
}

// below is the prefix that a pattern stands for, up to its first sign.
func below(t httpcache.Target, sign int) string {
	prefix := t.Path[:sign]
	if strings.IndexByte(".*$", t.Path[sign]) < 0 {
		prefix = prefix[:strings.LastIndexByte(prefix, '/')+1] // a choice or a class can have begun anywhere
	}
	prefix = strings.TrimRight(prefix, "/(")
	switch {
	case t.Host != "":
		prefix = "http://" + t.Host + cmp.Or(prefix, "/")
	case prefix == "":
		prefix = "/"
	}
	return shorten(prefix)
}

// checkName refuses a key or tag that looks like a pattern or like several names. A caller that means such a name must
// send it where it can be percent-encoded. raw is the name as sent there, else the name itself.
func checkName(kind policy.MemberKind, raw, name string) error {
	if err := checkNoPattern(kind, raw, name); err != nil {
		return err
	}
	if kind == policy.KindTag && strings.ContainsAny(raw, ", \t\r\n") {
		return fmt.Errorf("tag %q looks like several: send each tag by itself, as POST /purge with {\"tags\":[\"…\",\"…\"]}; a tag of just this name goes with DELETE /tags/%s",
			shorten(name), shorten(percentEncode(name)))
	}
	return nil
}

// checkCarried refuses a name that no copy can have. A response field cannot hold such a byte (RFC 9110 §5.5), and a
// route percent-encodes the values of requests in names. The purge would be confirmed without purging anything.
func checkCarried(kind policy.MemberKind, name string) error {
	at := strings.IndexFunc(name, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
	if at < 0 {
		return nil
	}
	return fmt.Errorf("%s %q has the byte %%%02X, which no copy's %[1]s can have: where it came from a request, its name has %[4]q",
		kind, shorten(name), name[at], shorten(percentEncode(name)))
}

// checkNoPattern refuses a name that looks like a pattern.
func checkNoPattern(kind policy.MemberKind, raw, name string) error {
	if !signInName.MatchString(raw) {
		return nil
	}
	return fmt.Errorf("%s %q looks like a pattern: for many copies purge a tag that they share, or send POST /purge with {\"prefixes\":[\"/path\"]} or {\"routes\":[\"…\"]}; a %[1]s of just this name goes with DELETE /%[1]ss/%[3]s",
		kind, shorten(name), shorten(percentEncode(name)))
}

// percentEncode writes every byte that could be a sign as %XX.
func percentEncode(name string) string {
	return httpcache.Escape(name, func(c byte) bool { return !httpcache.IsUnreserved(c) && c != ':' })
}
