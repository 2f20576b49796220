package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cacheproxy/policy"
)

func compilePatterns(doc *part) (patterns []policy.Pattern) {
	for i, text := range doc.list("match") {
		at := index("match", i)
		if doc.spoiled(at) {
			doc.report.mark(doc.at("match"))
			continue
		}
		p, err := parsePattern(text)
		if err != nil {
			doc.spoil(at, "%w", err)
			doc.report.mark(doc.at("match"))
			continue
		}
		if near := slipOf(p.Method()); near != "" {
			doc.warn(at, "no such method is registered as %s, and requests with another are not this route's; %s?", p.Method(), near)
		}
		patterns = append(patterns, p)
	}
	return patterns
}

// parsePattern parses a pattern. parsePattern refuses texts that are patterns by form, but are meant as something else
// and would never match.
func parsePattern(text string) (policy.Pattern, error) {
	if ofExpression.MatchString(text) {
		return policy.Pattern{}, fmt.Errorf(`%s looks like a regular expression, and patterns are none; write {id} for one segment of the path, {rest...} at the end for all that is left, and where: {id: "[0-9]+"} for what a wildcard may be; %%5B, %%24 and so on stand for the characters themselves`, quote(text))
	}
	if found := ofSeveral.FindStringSubmatch(text); found != nil {
		all := strings.FieldsFunc(found[1], func(c rune) bool { return strings.ContainsRune("|, \t", c) })
		for i, method := range all {
			all[i] = strings.ToUpper(method) + " " + found[2]
		}
		return policy.Pattern{}, fmt.Errorf("%s names several methods, and a pattern has one; write match: [%s]", quote(text), strings.Join(all, ", "))
	}
	p, err := policy.ParsePattern(text)
	if err != nil {
		return p, fmt.Errorf("%w; write [METHOD ][HOST]/path/{wildcard}", err)
	}
	switch method := p.Method(); {
	case method == "*":
		return p, errors.New("has the method *, which no request has; leave it out for all methods")
	case strings.ToUpper(method) != method: // RFC 9110 §9.1
		return p, fmt.Errorf("has the method %s, and methods are told apart by case: no request that is meant has it; write %s", quote(method), strings.ToUpper(method)+strings.TrimPrefix(text, method))
	}
	return p, nil
}

// ofExpression matches signs of a regular expression that a path does not have, or has only percent-encoded: "~" at the
// beginning as in nginx, "^", a class of characters, an alternative, "+" after a group, an escape, "$" at the end.
var ofExpression = regexp.MustCompile(`^~|^\S*\^|\s\^|\[[^\]]*\][+*?{$]|\[\^|\[\w-\w|\\[dwsDWSbAzZ./]|[.)][+]|\.\*|\(\?|\([^)]*\|[^)]*\)|[^/{]\$$`)

// ofSeveral matches a list of methods before a path.
var ofSeveral = regexp.MustCompile(`^(\w+(?:\s*[|,]\s*\w+)+)\s+(\S*/.*)$`)

// registered are the registered methods (RFC 9110 §18.2) without * and PRI, which no request has, and the methods that
// purge caches.
var registered = strings.Fields(`GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY
	ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE
	ORDERPATCH PROPFIND PROPPATCH REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL
	PURGE BAN URIBAN PURGEKEYS`)

// slipOf is the registered method that another method is one slip away from, or empty. Short WebDAV methods are left
// out: they are too near to words that APIs use as methods of their own.
func slipOf(method string) string {
	if method == "" || slices.Contains(registered, method) {
		return ""
	}
	i := slices.IndexFunc(registered, func(known string) bool {
		return (slices.Index(registered, known) < 10 || len(known) > 4) && distance(method, known) == 1
	})
	if i < 0 {
		return ""
	}
	return registered[i]
}
