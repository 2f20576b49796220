package conformance

import "maps"

// The arguments, in the words of the specifications.
const (
	firstAge = "RFC 9111 §5.1: \"a cache encountering a message with a list-based Age field value SHOULD use the first member\". The first " +
		"here says that the response is fresh. The test wants it taken for stale; the later revision of the suite wants what the RFC says"
	noAge = "RFC 9111 §5.1: where Age \"contains something other than a non-negative integer\", \"a cache SHOULD ignore the field\". Without it the " +
		"response is fresh. The test wants it taken for stale; the later revision of the suite wants what the RFC says"
	disconnected = "what the test expects in place of the stale copy is a 200 of its origin to this very request. The origin closes the " +
		"connection as often as it is asked, so that no cache can pass it. What matters holds: the stale copy is not served, the answer " +
		"is 502 (RFC 9111 §4.2.4)"
	setCookie = "RFC 9111 §7.3 leaves it to caches: to keep cookies that are set for one client and send them to all is a named " +
		"relaxation of a route (override: [set-cookie], or strip_set_cookie)"
	wrongPart = "the test's 206 has five bytes and says by Content-Range, bytes 4-9/10, that it has six: which \"range of the selected " +
		"representation\" is \"enclosed\" (RFC 9110 §14.4) is unknown. The tests do not agree either: of the bytes 01234, -5 and -1 want " +
		"the last one at position 9, and 6-8 wants it at 8. A part that contradicts itself is not kept"
)

// cookieTests ask a shared cache to keep cookies or to answer requests that have some, which a route has to allow.
var cookieTests = map[string]string{
	"headers-store-Set-Cookie":             setCookie,
	"headers-store-Set-Cookie2":            setCookie,
	"304-etag-update-response-Set-Cookie":  setCookie,
	"304-etag-update-response-Set-Cookie2": setCookie,
	"other-set-cookie":                     setCookie,
	"other-cookie":                         "a request with cookies is answered by the origin unless the route says which cookies do not matter (ignore_cookies)",
}

// fileTests ask for what a proxy with a file does under write-through only, where a fence stands around every write.
var fileTests = map[string]string{
	"method-POST": "RFC 9110 §9.3.3: an answer to POST may be kept, and need not be. Where the routes are configured, answers to writes " +
		"are kept under write-through alone",
}

// exceptions are the required and optimal tests that the proxy does not pass as it comes, and why.
var exceptions = together(cookieTests, map[string]string{
	"age-parse-dup-0":             firstAge,
	"age-parse-dup-0-twoline":     firstAge,
	"age-parse-dup-old":           firstAge,
	"age-parse-prefix-twoline":    firstAge,
	"age-parse-float":             noAge,
	"age-parse-negative":          noAge,
	"age-parse-nonnumeric":        noAge,
	"age-parse-numeric-parameter": noAge,
	"age-parse-parameter":         noAge,

	"vary-normalise-lang-select": "RFC 9111 §4.1 leaves it to caches to know \"a mechanism for ranking preference\". That the answer is in the language that " +
		"a client prefers does not say that it is the answer to that client: what was made for de-CH may name other prices than what is " +
		"made for de, both in de. No answer crosses the values that the Vary of the origin names",
	"stale-close-must-revalidate":  disconnected,
	"stale-close-proxy-revalidate": disconnected,
	"stale-close-no-cache":         disconnected,
	"stale-close-s-maxage=2":       disconnected,

	"headers-store-Transfer-Encoding": "the origin names a transfer coding that does not exist and was not asked for: without TE \"the only acceptable " +
		"transfer coding is chunked\" (RFC 9112 §7.4). Nobody can decode the content, and the coded bytes are not it: the answer is 502 " +
		"(RFC 9110 §15.6.3)",
	"304-etag-update-response-ETag": "RFC 9111 §4.3.4: where no stored response has the strong validator of the 304, \"the cache MUST NOT use the " +
		"new response to update any stored responses\". Without that, the copy is as stale as it was, and the test's third request " +
		"must not be answered from it. The origin is asked again, for the whole",
	"conditional-lm-fresh-no-lm": "RFC 9111 §4.3.2: without Last-Modified, 304 is for a stored Date \"earlier than or equal to\" If-Modified-Since. The " +
		"test's is 3,000 seconds later: what the client has may be older than what is stored, and 304 would have it kept",

	"partial-store-partial-reuse-partial":           wrongPart,
	"partial-store-partial-reuse-partial-absent":    wrongPart,
	"partial-store-partial-reuse-partial-byterange": wrongPart,
	"partial-store-partial-reuse-partial-suffix":    wrongPart,
	"partial-store-partial-complete":                "RFC 9111 §3.4: parts are combined only \"if they share the same strong validator\"; the test's have none",
})

func together(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// without is a without the keys of b.
func without(a, b map[string]string) map[string]string {
	rest := map[string]string{}
	for id, why := range a {
		if b[id] == "" {
			rest[id] = why
		}
	}
	return rest
}
