package admin

import (
	"net/http"
	"slices"
	"strings"
)

// Hints for callers that use the words of another cache.
const (
	insteadToken    = `a token goes into Authorization: Bearer`
	insteadSoft     = `for a soft purge send DELETE /tags/{tag}?soft=1, DELETE /keys/{key}?soft=1, or POST /purge with {"tags":["…"],"soft":true} or {"urls":["/path"],"soft":true}`
	insteadTags     = `to purge by tags send DELETE /tags/{tag} for one, or POST /purge with {"tags":["…"]}, each tag by itself`
	insteadPattern  = `other patterns are not taken; for everything below a path send POST /purge with {"prefixes":["http://host/path"]}, for one URL {"urls":["http://host/path"]}`
	insteadURL      = `to purge one URL send PURGE with the site's name as Host, or POST /purge with {"urls":["http://host/path"]}`
	insteadAll      = `to purge everything send POST /purge with {"all":true,"confirm":true}`
	insteadOverride = `send the method itself`
	insteadIf       = `a purge knows no conditions; leave it out`
	insteadCall     = `send PURGE for one URL, DELETE /tags/{tag}, DELETE /keys/{key}, or POST /purge with {"tags":["…"],"urls":["/path"],"prefixes":["/path"],"soft":true}`
	insteadUnknown  = `leave it out`
)

// dialects maps parts of names to hints. The first entry with a part of a field's or method's name counts.
var dialects = []struct {
	instead string
	parts   []string
}{
	{insteadToken, []string{"token", "secret", "password", "fastly-key", "purge-key", "api-key"}},
	{insteadSoft, []string{"soft", "stale", "refresh"}},
	{insteadOverride, []string{"override"}},
	{insteadTags, []string{"tag", "key", "surrogate", "group"}},
	{insteadPattern, []string{"pattern", "regex", "method", "ban", "prefix", "wildcard", "invalidat", "content-type"}},
	{insteadURL, []string{"url", "uri", "path", "host"}},
	{insteadAll, []string{"purge-all", "purgeall", "everything", "flush"}},
	{insteadCall, []string{"purge", "clear", "cache"}},
}

// insteadOfField is the hint for a field that is not understood.
func insteadOfField(name string) string {
	name = foldName(name)
	if strings.HasPrefix(name, "if-") {
		return insteadIf
	}
	return insteadOf(name, insteadUnknown)
}

// insteadOfPath is the hint to append to the refusal of a path by which other caches are purged.
func insteadOfPath(path string) string {
	if !strings.Contains(strings.ToLower(path), "purge") {
		return ""
	}
	return ": " + insteadCall + ", and for everything {\"all\":true,\"confirm\":true}"
}

func insteadOf(name, otherwise string) string {
	for _, d := range dialects {
		if slices.ContainsFunc(d.parts, func(part string) bool { return strings.Contains(name, part) }) {
			return d.instead
		}
	}
	return otherwise
}

// standardMethods are the methods of RFC 9110 and RFC 5789. A different method, sent to a path without a call, is taken
// for the purge method of another cache, such as BAN.
var standardMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodConnect, http.MethodOptions,
	http.MethodTrace, http.MethodPatch,
}

// methodNotUnderstood refuses a method of another cache. Allow names PURGE, since the path would be the operand and any
// path may be PURGEd.
func methodNotUnderstood(method string) *problem {
	instead := ""
	switch name := strings.ToLower(method); name {
	case "purge":
		instead = "methods are in capitals, PURGE"
	case "fullban":
		instead = insteadAll
	case "ban":
		instead = insteadCall
	case "uriban":
		instead = insteadPattern
	default:
		instead = insteadOf(name, insteadCall)
	}
	p := problemf(http.StatusMethodNotAllowed, "method %q is not understood: %s", shorten(method), instead)
	p.header.Set("Allow", "PURGE")
	return p
}
