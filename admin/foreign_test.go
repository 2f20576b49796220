package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// shelf is what is stored while plugins purge: one copy for each URL, with its tags.
var shelf = map[string]string{
	"shop.example/":           "cat_p cms_b_1 l2",
	"shop.example/a":          "cat_p_1 node:1 l2 config:user.role.anonymous",
	"shop.example/a?page=2":   "cat_p_1 l2",
	"shop.example/blog":       "b",
	"shop.example/blog/x":     "b node:10",
	"shop.example/blogger":    "l22",
	"other.example/a":         "cat_p_10 node:1 l2",
	"other.example/blog/x":    "foo b",
	"other.example/img/1.png": "",
}

// gone lists what of the shelf purges have made unusable, by what the members of copies and of purges have in common.
func gone(purges []Purge) (names []string) {
	named := map[policy.Member]bool{}
	for _, p := range purges {
		for _, m := range p.Members {
			named[m] = true
		}
	}
	for at, tags := range shelf {
		t, err := splitTarget("http://" + at)
		if err != nil {
			panic(err)
		}
		header := http.Header{"Surrogate-Key": {tags}}
		route := &policy.Route{Name: "page"}
		if slices.ContainsFunc(route.Members(&policy.Match{Route: route}, t, t.Query, http.Header{}, header), func(m policy.Member) bool { return named[m] }) {
			names = append(names, at)
		}
	}
	slices.Sort(names)
	return names
}

// Every plugin's own request: what was sent, as it goes over the wire; what was answered; what was gone, and nothing else was.
func TestForeignPurges(t *testing.T) {
	all := make([]string, 0, len(shelf))
	for at := range shelf {
		all = append(all, at)
	}
	slices.Sort(all)
	shop := slices.DeleteFunc(slices.Clone(all), func(at string) bool { return !strings.HasPrefix(at, "shop.example/") })
	const a, page2, otherA = "shop.example/a", "shop.example/a?page=2", "other.example/a"
	receipt, fastly := `{"id":"7-1","seq":7,`, `{"status":"ok","id":"7-1"}`
	cloudflare := `{"success":true,"errors":[],"messages":[],"result":{"id":"7-1"`
	for _, c := range []struct {
		who, request, body string
		answer             string
		gone               []string
		soft               bool
	}{
		{"Varnish xkey", "PURGE / HTTP/1.1|Host: shop.example|xkey: node:1 cat_p", "", receipt, []string{otherA, "shop.example/", a}, false},
		{"Varnish xkey", "PURGE / HTTP/1.1|Host: shop.example|xkey-purge: node:1", "", receipt, []string{otherA, a}, false},
		{"Varnish xkey", "PURGE / HTTP/1.1|Host: shop.example|xkey-softpurge: node:1", "", receipt, []string{otherA, a}, true},
		{"Varnish xkey", "PURGE /?soft=1 HTTP/1.1|Host: shop.example|xkey: node:1", "", receipt, []string{otherA, a}, true},
		{"FOSHttpCache, Ibexa", "PURGEKEYS / HTTP/1.1|Host: varnish|xkey-softpurge: l2 c52", "", receipt, []string{otherA, "shop.example/", a, page2}, true},
		{"FOSHttpCache, Ibexa", "PURGEKEYS / HTTP/1.1|Host: varnish|xkey-purge: cat_p", "", receipt, []string{"shop.example/"}, false},

		{"Souin", "PURGE /souin-api/souin HTTP/1.1|Host: HOST|Surrogate-Key: node:1, cat_p", "", receipt, []string{otherA, "shop.example/", a}, false},
		{"FrankenPHP", "PURGE / HTTP/1.1|Host: HOST|Surrogate-Key: node:10", "", receipt, []string{"shop.example/blog/x"}, false},
		{"Souin", "PURGE /souin-api/souin/flush HTTP/1.1|Host: HOST", "", receipt, all, false},
		{"generic", "PURGE / HTTP/1.1|Host: shop.example|Cache-Tag: node:1,cat_p", "", receipt, []string{otherA, "shop.example/", a}, false},
		{"generic", "PURGE / HTTP/1.1|Host: shop.example|Cache-Tags: node:1 cat_p", "", receipt, []string{otherA, "shop.example/", a}, false},
		{"Symfony", "PURGE / HTTP/1.1|Host: shop.example|X-Cache-Tags: node:1,cat_p", "", receipt, []string{otherA, "shop.example/", a}, false},
		{"Drupal HTTP purger", "PURGE / HTTP/1.1|Host: HOST|Purge-Cache-Tags: node:1|Purge-Cache-Tags: cat_p", "", receipt, []string{otherA, "shop.example/", a}, false},

		{"Magento", "PURGE / HTTP/1.1|Host: 10.0.0.7|X-Magento-Tags-Pattern: ((^¦,)cat_p_1(,¦$))¦((^¦,)cms_b_1(,¦$))|Connection: close", "", receipt, []string{"shop.example/", a, page2}, false},
		{"Magento", "PURGE / HTTP/1.1|Host: 10.0.0.7|X-Magento-Tags-Pattern: cat_p_1¦cat_p_10", "", receipt, []string{otherA, a, page2}, false},
		{"Magento", "PURGE / HTTP/1.1|Host: 10.0.0.7|X-Magento-Tags-Pattern: .*", "", receipt, all, false},

		{"Proxy Cache Purge", "PURGE /a HTTP/1.1|User-Agent: WordPress/6.7; https://shop.example|Accept: */*|Host: shop.example|X-Purge-Method: default|Connection: close", "", receipt, []string{a, page2}, false},
		{"Proxy Cache Purge", "PURGE /.* HTTP/1.1|Host: shop.example|X-Purge-Method: regex", "", receipt, shop, false},
		{"Proxy Cache Purge", "PURGE /blog/.* HTTP/1.1|Host: shop.example|X-Purge-Method: regex", "", receipt, []string{"shop.example/blog", "shop.example/blog/x"}, false},
		{"WP Rocket", "PURGE /(.*) HTTP/1.1|Host: shop.example|X-Purge-Method: regex", "", receipt, shop, false},
		{"WP Rocket", "PURGE /a HTTP/1.1|Host: shop.example|X-Purge-Method: default", "", receipt, []string{a, page2}, false},
		{"W3 Total Cache", "PURGE /.* HTTP/1.1|Host: shop.example|User-Agent: W3 Total Cache|Connection: close", "", receipt, shop, false},
		{"W3 Total Cache", "PURGE /a?page=2 HTTP/1.1|Host: shop.example|User-Agent: W3 Total Cache|Connection: close", "", receipt, []string{page2}, false},
		{"a theme", "PURGE / HTTP/1.1|Host: shop.example|X-Purge-Method: regex", "", receipt, shop, false},
		{"by hand", "PURGE /a?soft=1 HTTP/1.1|Host: shop.example", "", receipt, []string{a, page2}, true},
		{"by hand", "PURGE /blog/.*?soft=1 HTTP/1.1|Host: shop.example", "", receipt, []string{"shop.example/blog", "shop.example/blog/x"}, true},
		{"by hand", "PURGE /blog/(.*)?soft=1 HTTP/1.1|Host: shop.example|X-Purge-Method: regex", "", receipt, []string{"shop.example/blog", "shop.example/blog/x"}, true},
		{"by hand", "PURGE /?soft=1 HTTP/1.1|Host: shop.example|X-Purge-Method: regex", "", receipt, shop, true},
		{"by hand", "BAN /blog/*?soft=1 HTTP/1.1|Host: shop.example", "", receipt, []string{"shop.example/blog", "shop.example/blog/x"}, true},
		{"by hand", "BAN /?soft=1 HTTP/1.1|Host: varnish|X-Host: ^shop.example$|X-Url: ^/blog/", "", receipt, []string{"shop.example/blog", "shop.example/blog/x"}, true},

		{"Drupal varnish_purger", "BAN / HTTP/1.1|Host: varnish|Cache-Tags: node:1¦config:user.role.anonymous", "", receipt, []string{otherA, a}, false},
		{"Drupal zero-configuration purger", "BAN /tags HTTP/1.1|Host: 10.0.0.7|Cache-Tags: node:1 cat_p|Accept-Encoding: gzip", "", receipt, []string{otherA, "shop.example/", a}, false},
		{"Drupal zero-configuration purger", "BAN /blog/* HTTP/1.1|Host: shop.example|Accept-Encoding: gzip", "", receipt, []string{"shop.example/blog", "shop.example/blog/x"}, false},
		{"Drupal varnish_image_purge", "URIBAN /img/1.png HTTP/1.1|Host: other.example", "", receipt, []string{"other.example/img/1.png"}, false},
		{"FOSHttpCache", `BAN / HTTP/1.1|Host: varnish|X-Host: .*|X-Url: .*|X-Content-Type: .*|X-Cache-Tags: (^¦,)(node\:1¦cat_p)(,¦$)`, "", receipt, []string{otherA, "shop.example/", a}, false},
		{"FOSHttpCache 1", `BAN / HTTP/1.1|Host: varnish|X-Host: .*|X-Url: .*|X-Content-Type: .*|X-Cache-Tags: (node\:1¦cat_p)(,.+)?$`, "", receipt, []string{otherA, "shop.example/", a}, false},
		{"FOSHttpCache", `BAN / HTTP/1.1|Host: varnish|X-Host: ^(shop.example¦www\.shop\.example)$|X-Url: ^/blog/.*|X-Content-Type: .*`, "", receipt, []string{"shop.example/blog", "shop.example/blog/x"}, false},
		{"FOSHttpCache", `BAN / HTTP/1.1|Host: varnish|X-Host: shop.example|X-Url: ^/a$|X-Content-Type: .*`, "", receipt, []string{otherA, a, page2}, false},
		{"FOSHttpCache", `BAN / HTTP/1.1|Host: varnish|X-Host: ^other\.example$|X-Url: .*|X-Content-Type: .*`, "", receipt, []string{otherA, "other.example/blog/x", "other.example/img/1.png"}, false},
		{"FOSHttpCache", `BAN / HTTP/1.1|Host: varnish|X-Host: ^shop.example$|X-Url: ^/a$|X-Content-Type: .*`, "", receipt, []string{a, page2}, false},
		{"FOSHttpCache", `BAN / HTTP/1.1|Host: varnish|X-Host: .*|X-Url: ^/blog/x|X-Content-Type: .*`, "", receipt, []string{"other.example/blog/x", "shop.example/blog", "shop.example/blog/x"}, false},
		{"FOSHttpCache", `BAN / HTTP/1.1|Host: varnish|X-Host: .*|X-Url: .*|X-Content-Type: .*`, "", receipt, all, false},
		{"TYPO3", "BAN / HTTP/1.1|Host: shop.example|X-Cache-Tags: foo", "", receipt, []string{"other.example/blog/x"}, false},

		{"Fastly", "POST /service/SU1Z0isxPaozGVKXdv0eY/purge HTTP/1.1|Host: HOST|Accept: application/json|Fastly-Key: k|Surrogate-Key: node:1 cat_p", "", `{"cat_p":"7-1","node:1":"7-1","status":"ok"}`, []string{otherA, "shop.example/", a}, false},
		{"Fastly", "POST /service/S/purge HTTP/1.1|Host: HOST|Content-Type: application/json|Fastly-Key: k|Fastly-Soft-Purge: 1", `{"surrogate_keys":["node:1","cat_p"]}`, `"status":"ok"`, []string{otherA, "shop.example/", a}, true},
		{"Fastly", "POST /service/S/purge/node%3A1 HTTP/1.1|Host: HOST|Fastly-Key: k", "", fastly, []string{otherA, a}, false},
		{"Fastly", "POST /service/S/purge/node:1 HTTP/1.1|Host: HOST|Fastly-Key: k|Fastly-Soft-Purge: 1", "", fastly, []string{otherA, a}, true},
		{"Fastly", "POST /service/S/purge_all HTTP/1.1|Host: HOST|Fastly-Key: k|Content-Type: application/x-www-form-urlencoded", "", fastly, all, false},
		{"Fastly", "PURGE /a HTTP/1.1|Host: shop.example|Fastly-Key: k|Fastly-Soft-Purge: 1", "", fastly, []string{a, page2}, true},

		{"Cloudflare", "POST /client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache HTTP/1.1|Host: HOST|Authorization: Bearer x|Content-Type: application/json",
			`{"files":["https://shop.example/a?page=2",{"url":"http://other.example/img/1.png"}]}`, cloudflare, []string{"other.example/img/1.png", page2}, false},
		{"Cloudflare", "POST /client/v4/zones/Z/purge_cache HTTP/1.1|Host: HOST", `{"tags":["node:1","cat_p"]}`, cloudflare, []string{otherA, "shop.example/", a}, false},
		{"Cloudflare", "POST /client/v4/zones/Z/purge_cache HTTP/1.1|Host: HOST", `{"prefixes":["shop.example/blog"]}`, cloudflare, []string{"shop.example/blog", "shop.example/blog/x"}, false},
		{"Cloudflare", "POST /client/v4/zones/Z/purge_cache HTTP/1.1|Host: HOST", `{"hosts":["shop.example"]}`, cloudflare, shop, false},
		{"Cloudflare", "POST /client/v4/zones/Z/purge_cache HTTP/1.1|Host: HOST", `{"purge_everything":true}`, cloudflare, all, false},
	} {
		l := newListener().start(t)
		res, answer := l.raw(t, "tcp", wire(c.request, c.body))
		if res.StatusCode != 200 || !strings.Contains(answer, c.answer) {
			t.Errorf("%s: %s %s: %d %s, want %s", c.who, c.request, c.body, res.StatusCode, answer, c.answer)
			continue
		}
		if got := gone(l.purges); !slices.Equal(got, slices.Sorted(slices.Values(c.gone))) {
			t.Errorf("%s: %s %s: gone are %q, want %q", c.who, c.request, c.body, got, c.gone)
		}
		if p := l.last(t); p.Soft != c.soft || p.Wait != invalidation.WaitAll {
			t.Errorf("%s: %s: purged %+v", c.who, c.request, p)
		}
	}
}

// wire is a request as it goes over the wire: '|' stands for the end of a line, '¦' for itself.
func wire(request, body string) string {
	request = strings.NewReplacer("|", "\r\n", "¦", "|").Replace(request)
	if body != "" {
		request += fmt.Sprintf("\r\nContent-Length: %d", len(body))
	}
	return request + "\r\nConnection: close\r\n\r\n" + body
}

// What does not fit what plugins are known to send is refused before anything changes, in the form of the one who asks.
func TestForeignNotUnderstood(t *testing.T) {
	fastly, zone := "POST /service/S/purge HTTP/1.1|Host: HOST|Fastly-Key: k", "POST /client/v4/zones/Z/purge_cache HTTP/1.1|Host: HOST"
	for _, c := range []struct{ request, body, want string }{
		{"PURGE /a HTTP/1.1|Host: s|xkey: a", "", "send two calls"},
		{"PURGE /?x=1 HTTP/1.1|Host: s|xkey: a", "", "unknown query parameter"},
		{"PURGE / HTTP/1.1|Host: s|xkey: a|xkey-softpurge: b", "", "two kinds"},
		{"PURGE / HTTP/1.1|Host: s|xkey-purge: a|xkey-softpurge: b", "", "two kinds"},
		{"PURGE / HTTP/1.1|Host: s|xkey:", "", "names no tags"},
		{"PURGE / HTTP/1.1|Host: s|xkey: a|xkey: ", "", "names no tags"},
		{"PURGE / HTTP/1.1|Host: s|xkey: a¦b", "", "separate keys by spaces"},
		{"PURGE / HTTP/1.1|Host: s|xkey: cat_*", "", "looks like a pattern"},
		{"PURGE / HTTP/1.1|Host: s|X-Cache-Tags: .*", "", "looks like a pattern"},
		{"PURGE / HTTP/1.1|Host: s|xkey: a|X-Purge-Method: regex", "", "send one of them"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: cat_p.*", "", "understood as tags"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: *", "", "understood as tags"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: ((^¦,)cat_p_1(,¦$))x", "", "understood as tags"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: ((^¦,)cat_p_1", "", "understood as tags"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: ((^¦,)cat_p_[0-9](,¦$))", "", "understood as tags"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: a¦¦b", "", "understood as tags"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: a¦", "", "understood as tags"},
		{"PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: .*|X-Magento-Tags-Pattern: a", "", "everything, and tags besides"},
		{"PURGE /a.* HTTP/1.1|Host: s|X-Purge-Method: regex", "", "is a pattern"},
		{"PURGE /a/b HTTP/1.1|Host: s|X-Purge-Method: regex", "", "is a pattern"},
		{"PURGE /(a¦b)/.* HTTP/1.1|Host: s|X-Purge-Method: regex", "", "is a pattern"},
		{"PURGE /(a¦b)/.* HTTP/1.1|Host: s", "", "looks like a pattern"},
		{"PURGE /a/.*?x=1 HTTP/1.1|Host: s|X-Purge-Method: regex", "", "is a pattern"},
		{"PURGE /a HTTP/1.1|Host: s|X-Purge-Method: ban-regex", "", "X-Purge-Method is"},
		{"PURGE /a HTTP/1.1|Host: s|X-Purge-Method:", "", "X-Purge-Method is empty"},
		{"PURGE /a HTTP/1.1|Host: s|X-Purge-Method: exact|X-Purge-Method: regex", "", "send it once"},
		{"PURGE /a HTTP/1.1|Host: s|X-Purge-Regex: .*", "", "X-Purge-Regex"},
		{"PURGE /a/.* HTTP/1.1|Host: s|X-Purge-Method: exact", "", "looks like a pattern"},
		{"PURGE /a/.*?soft=1&soft=0 HTTP/1.1|Host: s", "", "several times"},
		{"PURGE /a/.*?wait=none HTTP/1.1|Host: s", "", "part of the URL or a word"},
		{"PURGE /a#b HTTP/1.1|Host: s", "", "percent-encode"},
		{"BAN /a#b HTTP/1.1|Host: s", "", "percent-encode"},

		{`PURGE / HTTP/1.1|Host: s|Surrogate-Key: ["a","b"]`, "", "a list in another form"},
		{`PURGE / HTTP/1.1|Host: s|xkey: {"tags":["a"]}`, "", "a list in another form"},
		{"PURGE / HTTP/1.1|Host: s|Surrogate-Key: a;b", "", "DELETE /tags/a%3Bb"},
		{`BAN / HTTP/1.1|Host: s|Cache-Tags: ["a", "b"]`, "", "a list in another form"},
		{`BAN / HTTP/1.1|Host: s|Cache-Tags: [a, b]`, "", "a list in another form"},
		{`BAN / HTTP/1.1|Host: s|X-Cache-Tags: "a"`, "", "a list in another form"},
		{`BAN / HTTP/1.1|Host: s|X-Cache-Tags: 'a','b'`, "", "a list in another form"},
		{`PURGE / HTTP/1.1|Host: s|X-Magento-Tags-Pattern: "a"`, "", "a list in another form"},
		{"PURGE /a HTTP/1.1|Host: s|X-Ban-Regex: ^/a", "", "X-Ban-Regex"},
		{"PURGE /a HTTP/1.1|Host: s|Fastly-Soft-Purge: maybe", "", "use 1 or 0"},
		{"PURGE /a?soft=1&soft=0 HTTP/1.1|Host: s", "", "several times"},
		{"PURGE /a?soft=maybe HTTP/1.1|Host: s", "", "part of the URL or a word"},
		{"PURGE /souin-api/souin/http://s/a HTTP/1.1|Host: s", "", "is understood as"},
		{"PURGE /souin-api/souin HTTP/1.1|Host: s", "", "is understood as"},
		{"PURGE /souin-api/souin/flush HTTP/1.1|Host: s|Surrogate-Key: a", "", "send two calls"},
		{"PURGE /souin-api/souin/flush?x HTTP/1.1|Host: s", "", "unknown query parameter"},
		{"PURGE /a HTTP/1.1|Host: s|X-Magento-Tags-Pattern: .*", "", "send two calls"},
		{"BAN /a HTTP/1.1|Host: s|X-Host: .*|X-Url: .*", "", "send two calls"},

		{"BAN / HTTP/1.1|Host: s", "", "a BAN says in"},
		{"BAN /a HTTP/1.1|Host: s", "", "a BAN says in"},
		{"BAN /site HTTP/1.1|Host: s", "", "a BAN says in"},
		{"BAN / HTTP/1.1|Host: s|X-Url: ^/(a¦b)/", "", "is a pattern"},
		{"BAN / HTTP/1.1|Host: s|X-Url: a", "", "neither a path"},
		{"BAN / HTTP/1.1|Host: s|X-Url: http://s/a", "", "send the path alone"},
		{"BAN / HTTP/1.1|Host: s|X-Url: /a?b", "", "is a pattern"},
		{"BAN / HTTP/1.1|Host: s|X-Url: ", "", "is empty"},
		{"BAN / HTTP/1.1|Host: s|X-Host: .*|X-Url: /blog/x", "", "begin it with ^"},
		{"BAN / HTTP/1.1|Host: s|X-Host: .*|X-Url: /x$", "", "begin it with ^"},
		{"BAN / HTTP/1.1|Host: s|X-Host: .*|X-Url: ^/blog", "", "end it with $"},
		{"BAN / HTTP/1.1|Host: s|X-Host: ^shop|X-Url: .*", "", "in full"},
		{"BAN / HTTP/1.1|Host: s|X-Host: shop.example|X-Url: ^/", "", "in full"},
		{"BAN / HTTP/1.1|Host: s|X-Host: ^shop.example", "", "in full"},
		{"BAN / HTTP/1.1|Host: s|X-Url: /a|X-Url: /b", "", "send it once"},
		{"BAN / HTTP/1.1|Host: s|X-Host: .*example|X-Url: .*", "", "X-Host"},
		{"BAN / HTTP/1.1|Host: s|X-Host: ^(a¦)$|X-Url: .*", "", "alternative is empty"},
		{"BAN / HTTP/1.1|Host: s|X-Host: shop.exampl.|X-Url: .*", "", "any character"},
		{"BAN / HTTP/1.1|Host: s|X-Host: .hop.example|X-Url: .*", "", "any character"},
		{"BAN / HTTP/1.1|Host: s|X-Host: ^(shop.example¦shop..xample)$|X-Url: ^/a$", "", "any character"},
		{"BAN / HTTP/1.1|Host: s|X-Host: .*|X-Url: .*|X-Content-Type: image/png", "", "X-Content-Type"},
		{"BAN / HTTP/1.1|Host: s|X-Host: s|X-Url: .*|X-Cache-Tags: a", "", "every host and path"},
		{"BAN / HTTP/1.1|Host: s|X-Cache-Tags: (^¦,)(a¦.*)(,¦$)", "", "an expression"},
		{`BAN / HTTP/1.1|Host: s|X-Cache-Tags: (^¦,)(a\d)(,¦$)`, "", "an expression"},
		{"BAN /a HTTP/1.1|Host: s|Cache-Tags: a", "", "send two calls"},
		{"BAN / HTTP/1.1|Host: s|X-Ban-All: 1", "", "X-Ban-All"},
		{"URIBAN /a HTTP/1.1|Host: s|X-Url: /b", "", "X-Url"},
		{"PURGEKEYS / HTTP/1.1|Host: s", "", "names no tags"},
		{"PURGEKEYS / HTTP/1.1|Host: s|X-Cache-Tags: a", "", "X-Cache-Tags"},

		{fastly, "", `"detail":"the call names no keys`},
		{fastly, "{}", "names no keys"},
		{fastly, `{"surrogate_keys":[]}`, "names no keys"},
		{fastly, `{"surrogate_keys":["a b"]}`, "no tag"},
		{fastly, `{"surrogate_keys":["*"]}`, "looks like a pattern"},
		{fastly, `{"keys":["a"]}`, "unknown field"},
		{"POST /service/S/purge?wait=none HTTP/1.1|Host: HOST|Surrogate-Key: a", "", "leave it out"},
		{"POST /service/S/purge/a HTTP/1.1|Host: HOST|Surrogate-Key: b", "", "send one of them"},
		{"POST /service/S/purge/a HTTP/1.1|Host: HOST", `{"soft":true}`, "no body"},
		{"POST /service/S/purge/a* HTTP/1.1|Host: HOST", "", "looks like a pattern"},
		{"POST /service/S/purge_all HTTP/1.1|Host: HOST|Surrogate-Key: b", "", "takes no Surrogate-Key"},
		{"POST /service/S/purge_all HTTP/1.1|Host: HOST", `{"surrogate_keys":["a"]}`, "no body"},

		{zone, "", `{"success":false,"errors":[{"code":400,"message":"the body is not`},
		{zone, "{}", "names nothing"},
		{zone, `{"purge_everything":false}`, "names nothing"},
		{zone, `{"purge_everything":true,"tags":["a"]}`, "more besides"},
		{zone, `{"files":["/a"]}`, "no host"},
		{zone, `{"files":[{"url":"http://s/a","headers":{"Origin":"x"}}]}`, "headers"},
		{zone, `{"files":"http://s/a"}`, "a list of URLs"},
		{zone, `{"files":["http://s/a/*"]}`, "looks like a pattern"},
		{zone, `{"tags":["a b"]}`, "no tag"},
		{zone, `{"hosts":["*.example"]}`, "not the name of a host"},
		{zone, `{"prefixes":["/a"]}`, "no host"},
		{zone + "|X-Auth-Email: a", `{"tags":["a"]}`, "X-Auth-Email"},
	} {
		l := newListener().start(t)
		res, answer := l.raw(t, "tcp", wire(c.request, c.body))
		if res.StatusCode != 400 || !strings.Contains(strings.ReplaceAll(answer, `\"`, `"`), c.want) || len(l.purges) > 0 {
			t.Errorf("%s %s: %d %s, want %q; purged %v", c.request, c.body, res.StatusCode, answer, c.want, l.purges)
		}
	}
}

// A purge of a plugin that cannot be confirmed is applied here and queued, and the answer still says that it does not hold. One by the
// calls of this proxy is the caller's to repeat.
func TestForeignPurgeUnconfirmed(t *testing.T) {
	for _, c := range []struct {
		request, answer string
		waits           []invalidation.Wait
	}{
		{"PURGE /a HTTP/1.1|Host: s", `{"recorded":false,"held":false`, []invalidation.Wait{invalidation.WaitAll, invalidation.WaitLocal}},
		{"PURGE /a?soft=1 HTTP/1.1|Host: s", `{"recorded":false`, []invalidation.Wait{invalidation.WaitAll, invalidation.WaitLocal, invalidation.WaitLocal}},
		{"BAN / HTTP/1.1|Host: s|Cache-Tags: a", `{"recorded":false`, []invalidation.Wait{invalidation.WaitAll, invalidation.WaitLocal}},
		{"POST /service/S/purge_all HTTP/1.1|Host: HOST", `"detail":"the purge does not hold`, []invalidation.Wait{invalidation.WaitAll, invalidation.WaitLocal}},
		{"POST /client/v4/zones/Z/purge_cache HTTP/1.1|Host: HOST", `{"success":false,"errors":[{"code":503,`, []invalidation.Wait{invalidation.WaitAll, invalidation.WaitLocal}},
		{"DELETE /tags/a HTTP/1.1|Host: HOST", `{"recorded":false`, []invalidation.Wait{invalidation.WaitAll}},
	} {
		l := newListener()
		l.receipt, l.err = invalidation.Receipt{}, errors.New("no log")
		l.start(t)
		body := ""
		if strings.Contains(c.request, "zones") {
			body = `{"tags":["a"]}`
		}
		res, answer := l.raw(t, "tcp", wire(c.request, body))
		var waits []invalidation.Wait
		for _, p := range l.purges {
			waits = append(waits, p.Wait)
		}
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(answer, c.answer) || !slices.Equal(waits, c.waits) {
			t.Errorf("%s: %d %s, waits %v", c.request, res.StatusCode, answer, waits)
		}
	}
}

// A URL whose query has the word soft goes for good, since the word may be its own; what the word is said of becomes stale.
func TestSoftInQuery(t *testing.T) {
	l := newListener().start(t)
	for query, want := range map[string]string{
		"soft=1":     fmt.Sprintf("false %q true %q", policy.URLMembers("s", "/a", "soft=1", true), policy.PathMembers("s", "/a")),
		"b=c&soft=1": fmt.Sprintf("false %q true %q", policy.URLMembers("s", "/a", "b=c&soft=1", true), policy.URLMembers("s", "/a", "b=c", true)),
		"soft=0":     fmt.Sprintf("false %q", append(policy.PathMembers("s", "/a"), policy.URLMembers("s", "/a", "soft=0", true)...)),
	} {
		l.purges = nil
		if res, body := l.raw(t, "tcp", wire("PURGE /a?"+query+" HTTP/1.1|Host: s", "")); res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", query, res.StatusCode, body)
		}
		var got []string
		for _, p := range l.purges {
			got = append(got, fmt.Sprintf("%v %q", p.Soft, p.Members))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// A receipt says which names no copy has carried here.
func TestUnseen(t *testing.T) {
	l := newListener()
	l.Seen = func(m policy.Member) bool { return m == "tseen" || m == "qs/seen" || m == "ps/seen" }
	l.start(t)
	for _, c := range []struct{ body, want string }{
		{`{"tags":["seen"],"urls":["http://s/seen"],"prefixes":["http://s/seen"]}`, ""},
		{`{"tags":["seen","mispelt"],"keys":["k"],"urls":["http://s/not"],"prefixes":["/not"]}`, `"unseen_here":["key:k","tag:mispelt","url:http://s/not","prefix:/not"]`},
		{`{"all":true,"confirm":true}`, ""},
	} {
		_, body := l.ask(t, "POST /purge", c.body)
		if c.want == "" && strings.Contains(body, "unseen") || !strings.Contains(body, c.want) {
			t.Errorf("%s: %s, want %s", c.body, body, c.want)
		}
		var receipt struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(body), &receipt); err != nil || receipt.ID == "" {
			t.Errorf("%s: %s: %v", c.body, body, err)
		}
	}
}

// listedHosts are the hosts of an expression.
func listedHosts(pattern string) ([]string, error) {
	hosts, _, err := readHostPattern(pattern)
	return hosts, err
}

// What readers of lists give are names that stand for themselves, and never none.
func FuzzForeignLists(f *testing.F) {
	for _, seed := range []string{"a b", "a, b", "a|b", "(^|,)(a|b)(,|$)", `(a\.b|c)(,.+)?$`, "((^|,)a(,|$))|((^|,)b(,|$))", ".*", "^/a/.*", `^(a|b\.c)$`, "/a$", "((^|,)(,|$))", `\`, "|", ",,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		for name := range tagFields {
			tags, err := readTagField(name, list)
			if err != nil {
				continue
			}
			for _, tag := range tags {
				if tag == "" {
					t.Fatalf("%s: an empty tag in %q", name, list)
				}
				if !strings.Contains(strings.ReplaceAll(list, `\`, ""), strings.ReplaceAll(tag, `\`, "")) {
					t.Fatalf("%s: %q is not in %q", name, tag, list)
				}
			}
			if name == "x-magento-tags-pattern" && (len(tags) == 0 || strings.Count(list, "|") < len(tags)-1) {
				t.Fatalf("%q gives %q", list, tags)
			}
		}
		if hosts, err := listedHosts(list); err == nil && (len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return !plainHost.MatchString(h) })) {
			t.Fatalf("%q gives hosts %q", list, hosts)
		}
		if target, isPrefix, err := readPathPattern(list); err == nil && (target.Host != "" || !strings.HasPrefix(target.Path, "/") || isPrefix && target.HasQuery) {
			t.Fatalf("%q gives %+v, %v", list, target, isPrefix)
		}
		if o, err := readCloudflare([]byte(list)); err == nil && !o.all && len(o.tags)+len(o.urls)+len(o.prefixes) == 0 {
			t.Fatalf("an order that names nothing: %q", list)
		}
		for _, ban := range []bool{true, false} {
			if prefix, ok := prefixOf(httpcache.Target{Path: list}, ban); ok && (!strings.HasPrefix(list, prefix.Path) || !strings.HasSuffix(prefix.Path, "/")) {
				t.Fatalf("%q stands for %+v", list, prefix)
			}
		}
	})
}

// What a call means whose host is where it was sent, or a pattern, its receipt says: a plugin that sends the address of the cache as Host
// is told so. A call that writes out what is to go is answered without.
func TestReceiptSaysWhichHostWasUnderstood(t *testing.T) {
	for _, c := range []struct{ request, body, want string }{
		{"PURGE /a HTTP/1.1|Host: shop.example", "", `"understood":["url:http://shop.example/a"]`},
		{"PURGE /a HTTP/1.1|Host: 10.0.0.7", "", `"understood":["url:http://10.0.0.7/a"]`},
		{"PURGE /a HTTP/1.1|Host: HOST", "", `"understood":["url:/a of every host"]`},
		{"PURGE /.* HTTP/1.1|Host: varnish", "", `"understood":["prefix:http://varnish/"]`},
		{"URIBAN /a HTTP/1.1|Host: varnish", "", `"understood":["url:http://varnish/a"]`},
		{"BAN / HTTP/1.1|Host: varnish|X-Host: ^(a¦b)$|X-Url: ^/c$", "", `"understood":["url:http://a/c","url:http://b/c"]`},
		{"BAN / HTTP/1.1|Host: varnish|X-Host: .*|X-Url: ^/c/.*", "", `"understood":["prefix:/c/ of every host"]`},
		{"PURGE / HTTP/1.1|Host: varnish|xkey: a", "", ""},
		{"POST /purge HTTP/1.1|Host: HOST|Content-Type: application/json", `{"urls":["/a"]}`, ""},
	} {
		l := newListener().start(t)
		res, answer := l.raw(t, "tcp", wire(c.request, c.body))
		if res.StatusCode != 200 || !strings.Contains(answer, c.want) || c.want == "" && strings.Contains(answer, "understood") {
			t.Errorf("%s: %d %s, want %s", c.request, res.StatusCode, answer, c.want)
		}
	}
}
