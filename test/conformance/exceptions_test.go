package conformance

import "maps"

// The arguments, in the words of the specifications.
const (
	prefix = "RFC 9111 §4.2.1: \"caches are encouraged to consider responses that have invalid freshness information ... to be stale\". " +
		"Here any Age but one number is; §5.1 would have the first of several, which the suite asks for in this test and not in its " +
		"neighbours"
	disconnected = "what the test expects in place of the stale copy is a 200 of the origin, which has closed the connection; " +
		"no cache can pass it. The stale copy is not served: the answer is 502 (RFC 9111 §4.2.4)"
	setCookie = "RFC 9111 §7.3 leaves it to caches: to keep cookies that are set for one client and send them to all is a named " +
		"relaxation of a route (override: [set-cookie], or strip_set_cookie)"
	wrongPart = "the test's 206 has five bytes and says by Content-Range that it has six: which bytes of the whole they are is unknown " +
		"(RFC 9110 §14.4, §15.3.7), and a part that contradicts itself is not kept"
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

// exceptions are the required and optimal tests that the proxy does not pass as it comes, and why.
var exceptions = together(cookieTests, map[string]string{
	"age-parse-prefix": prefix,

	"stale-close-must-revalidate":  disconnected,
	"stale-close-proxy-revalidate": disconnected,
	"stale-close-no-cache":         disconnected,
	"stale-close-s-maxage=2":       disconnected,

	"headers-store-Transfer-Encoding": "the origin names a transfer coding that does not exist. Where the message ends is then unknown, and to guess is " +
		"response splitting (RFC 9112 §6.1, §11.1): the answer is 502",
	"304-etag-update-response-ETag": "RFC 9111 §4.3.4: where no stored response has the strong validator of the 304, \"the cache MUST NOT use the " +
		"new response to update any stored responses\". The origin is asked again, for the whole",
	"conditional-lm-fresh-no-lm": "RFC 9111 §4.3.2: without Last-Modified, 304 is for a stored Date \"earlier than or equal to\" If-Modified-Since. The " +
		"test's is later: what the client has may be older than what is stored",

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
