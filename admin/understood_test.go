package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// dialectFields are what plugins and scripts for other caches say in their purges, and how else it could be spelt.
var dialectFields = strings.Fields(`
	xkey xkey-purge xkey-softpurge ykey ykey-purge Surrogate-Key Surrogate-Keys X-Surrogate-Key Surrogate-Control
	Cache-Tag Cache-Tags X-Cache-Tag X-Cache-Tags Purge-Cache-Tags X-Cache-Tags-Purge Edge-Cache-Tag Cache-Group Cache-Groups
	Cache-Group-Invalidation X-Magento-Tags X-Magento-Tags-Pattern X-Pool X-Shopware-Invalidates X-LiteSpeed-Purge X-LiteSpeed-Tag
	X-Purge-Method X-Purge X-Purge-Regex X-Purge-Url X-Purge-Host X-Purge-All X-Purge-Key X-Purge-Keys X-Purge-Tags X-Purge-Soft
	X-Host X-Url X-Content-Type X-Ban X-Ban-Url X-Ban-Host X-Ban-Regex X-Ban-Content-Type X-Ban-Expression
	X-Invalidate-Pattern X-Invalidate-Url X-Invalidates X-Cache-Invalidate X-Regex X-Pattern X-Match X-Refresh
	Fastly-Soft-Purge Fastly-Key Soft-Purge X-Soft-Purge X-Drupal-Cache-Tags X-Typo3-Cache-Tags X-Location-Id X-Reverse-Proxy-Ttl
	X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Original-Url X-Rewrite-Url X-Original-Host
	If-Match If-None-Match If-Modified-Since If-Unmodified-Since Range Content-Range Content-Encoding Depth Destination Prefer
	X-Wait X-Anything`)

// No purge call with a field that could say what to purge, or how, is carried out, whatever the call, the field's value
// and its spelling. Neither is it where the field comes after the content.
func TestDialectFields(t *testing.T) {
	l := newListener().start(t)
	for _, field := range dialectFields {
		for _, call := range []struct{ line, body string }{
			{"PURGE /", ""}, {"PURGE /products", ""}, {"DELETE /keys/a", ""}, {"DELETE /tags/a", ""}, {"POST /purge", `{"keys":["a"]}`},
		} {
			chunked := "0\r\n"
			if call.body != "" {
				chunked = fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(call.body), call.body)
			}
			head := call.line + " HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n"
			for i, request := range []string{
				head + fmt.Sprintf("%s: hush\r\nContent-Length: %d\r\n\r\n%s", field, len(call.body), call.body),
				head + fmt.Sprintf("%s:\r\nContent-Length: %d\r\n\r\n%s", strings.ToLower(strings.ReplaceAll(field, "-", "_")), len(call.body), call.body),
				head + "Transfer-Encoding: chunked\r\nTrailer: " + field + "\r\n\r\n" + chunked + field + ": hush\r\n\r\n",
				head + "Transfer-Encoding: chunked\r\n\r\n" + chunked + field + ": hush\r\n\r\n",
			} {
				l.log.Reset()
				method, _, _ := strings.Cut(call.line, " ")
				if i < 2 && foreignFields[method][foldName(field)] {
					continue // it has a meaning there; see TestForeignPurges
				}
				res, body := l.raw(t, "tcp", request)
				if res.StatusCode != 400 || len(l.purges) > 0 {
					t.Fatalf("%q: %d %s, purged %v", request, res.StatusCode, body, l.purges)
				}
				name := strings.ReplaceAll(strings.ToLower(field), "-", "_")
				if problem := problemText(t, body); !strings.Contains(strings.ToLower(strings.ReplaceAll(problem, "-", "_")), name) {
					t.Errorf("%q: the answer does not name the field: %s", request, problem)
				}
				if log := l.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, `level=WARN msg="refuse admin call"`) ||
					!strings.Contains(log, "status=400") || strings.Contains(log+body, "hush") {
					t.Errorf("%q: log %q", request, log)
				}
			}
		}
	}
}

// What clients, proxies, meshes and tracers add by themselves keeps nobody from purging.
func TestNeutralFields(t *testing.T) {
	l := newListener(Token{Name: "cms", Secret: "s", Allow: ScopePurge}).start(t)
	fields := []string{"Authorization: Bearer s"}
	for _, name := range strings.Fields(`
		User-Agent Accept Accept-Encoding Accept-Language Cookie Cache-Control Pragma Origin Referer Sec-Fetch-Site Sec-CH-UA
		Via Forwarded X-Forwarded-For X-Forwarded-Proto X-Forwarded-Client-Cert X-Real-IP X_Real_IP True-Client-IP
		X-Request-Id X-Correlation-ID traceparent tracestate baggage b3 X-B3-TraceId X-Amzn-Trace-Id X-Cloud-Trace-Context sentry-trace
		X-Datadog-Trace-Id uber-trace-id newrelic X-Envoy-Attempt-Count X-Envoy-Expected-Rq-Timeout-Ms l5d-dst-override
		CF-Ray CF-Connecting-IP Cf-Warp-Tag-Id CloudFront-Viewer-Country X-Azure-Ref X-Varnish CDN-Loop Idempotency-Key
		X-Requested-With Priority Content-Type Date TE`) {
		fields = append(fields, name+": application/json")
	}
	for line, body := range map[string]string{"PURGE /a": "", "DELETE /tags/a": "", "DELETE /keys/a": "", "POST /purge": `{"keys":["a"]}`} {
		l.purges = nil
		if res, answer := l.ask(t, line, body, fields...); res.StatusCode != 200 || len(l.purges) != 1 {
			t.Errorf("%s: %d %s", line, res.StatusCode, answer)
		}
	}
}

// Each part of a call that would be passed over is refused, and the text says what to send instead.
func TestNotUnderstood(t *testing.T) {
	l := newListener().start(t)
	for _, c := range []struct {
		line, body string
		field      string
		want       string
	}{
		{"DELETE /keys/a", "", "xkey: a b", `header "Xkey", and so is not carried out: to purge by tags send DELETE /tags/{tag}`},
		{"DELETE /keys/a", "", "Surrogate-Key: a", `{"tags":["…"]}`},
		{"DELETE /keys/a", "", "X-Magento-Tags-Pattern: .*", `{"tags":["…"]}`},
		{"DELETE /keys/a", "", "xkey-softpurge: a", "?soft=1"},
		{"DELETE /keys/a", "", "Fastly-Soft-Purge: 1", `"soft":true`},
		{"DELETE /keys/a", "", "Fastly-Key: x", "Authorization: Bearer"},
		{"DELETE /keys/a", "", "X-Purge-Method: regex", `{"prefixes":["http://host/path"]}`},
		{"PURGE /", "", "X-Url: /a", `{"urls":["http://host/path"]}`},
		{"PURGE /", "", "X-HTTP-Method-Override: BAN", "send the method itself"},
		{"DELETE /keys/a", "", "If-Match: x", "conditions"},
		{"PURGE /", "", "X-Team: a", `"X-Team", and so is not carried out: leave it out`},
		{"PURGE /", "", "X-1: \r\nX-2: \r\nX-3: \r\nX-4: \r\nX-5: \r\nX-6: \r\nX-7: \r\nX-8: \r\nX-9: ", `"X-8", 1 more`},

		{"PURGE /products/.+/.*", "", "Forwarded: for=10.0.0.1", `{"prefixes":["/products"]}; where "+" stands for itself, send it as %2B`},
		{"PURGE http://Shop.example/products.*", "", "", `{"prefixes":["http://shop.example/products"]}`},
		{"PURGE /a?soft=maybe", "", "", `POST /purge with {"urls":["/a"],"soft":…}, for a URL that has it {"urls":["/a?soft=maybe"]}`},
		{"PURGE http://shop.example/*", "", "", `{"prefixes":["http://shop.example/"]}`},
		{"PURGE /products*", "", "", `{"prefixes":["/products"]}`},
		{"PURGE /*/reviews", "", "", "looks like a pattern"},
		{"PURGE /^products", "", "", "%5E"},
		{"PURGE /products/1$", "", "", "%24"},
		{"PURGE /products/[0-9]+", "", "", "%5B"},
		{"PURGE /(a|b)", "", "", `{"prefixes":["/"]}; where "|" stands for itself, send it as %7C`},
		{`PURGE /a\.html`, "", "", "%5C"},
		{"PURGE /products/{id}", "", "", "%7B"},
		{"PURGE /products/.+", "", "", "%2B"},
		{"PURGE /products?page=*", "", "", "without a query"},
		{"PURGE /products?.*&a=b", "", "", "without a query"},
		{"PURGE /products/?$", "", "", "%24"},
		{"PURGE /a?b=c&Soft", "", "", "part of the URL or a word to the proxy"},
		{"PURGE /a?wait=none", "", "", `"wait"`},
		{"PURGE /a", "tags=b", "", "takes no body"},
		{"PURGE *", "", "", "begins with"},
		{"PURGE /a#b", "", "", "percent-encode"},
		{"PURGE /a b", "", "", ""},
		{"PURGE http://*.example/a", "", "", "not the name of a host"},
		{"PURGE http://*/a", "", "", "not the name of a host"},
		{"PURGE http://[::1/a", "", "", ""}, // net/http refuses it
		{"PURGE http://shop.example:x/a", "", "", ""},

		{"DELETE /keys/a", `{"soft":true}`, "", "DELETE takes no body"},
		{"DELETE /tags/product-*", "", "", "DELETE /tags/product-%2A"},
		{"DELETE /tags/*", "", "", "DELETE /tags/%2A"},
		{"DELETE /tags/.*", "", "", "DELETE /tags/.%2A"},
		{"DELETE /keys/v2:product:*", "", "", "DELETE /keys/v2:product:%2A"},
		{"DELETE /keys/v2:*:17", "", "", "looks like a pattern"},
		{"DELETE /keys/v2:product:{id}", "", "", "DELETE /keys/v2:product:%7Bid%7D"},
		{"DELETE /tags/^a", "", "", "looks like a pattern"},
		{"DELETE /tags/a,b", "", "", "looks like several"},
		{"POST /purge", `{"tags":["a b"]}`, "", "DELETE /tags/a%20b"},
		{"POST /purge", `{"urls":["//shop.example/a"]}`, "", "http://shop.example/a"},

		{"POST /purge?soft=maybe", `{"keys":["a"]}`, "", "use 1 or 0"},
		{"POST /purge?wait=some", `{"keys":["a"]}`, "", "all, none or local"},
		{"POST /purge?tags=b", `{"keys":["a"]}`, "", "unknown query parameter"},
		{"POST /purge", `{"tags":["product-*"]}`, "", `a tag of just this name goes with DELETE /tags/product-%2A`},
		{"POST /purge", `{"tags":["((^|,)cat_p_1(,|$))"]}`, "", "looks like a pattern"},
		{"POST /purge", `{"keys":["b",".*"]}`, "", "looks like a pattern"},
		{"POST /purge", `{"keys":["a"],"urls":["/products/.*"]}`, "", "looks like a pattern"},
		{"POST /purge", `{"urls":["/products/*"]}`, "", `{"prefixes":["/products"]}`},
		{"POST /purge", `{"urls":["/products?page=*"]}`, "", "without a query"},
		{"POST /purge", `{"prefixes":["/products/*"]}`, "", `a prefix covers everything below it as it is: send "/products"`},
		{"POST /purge", `{"prefixes":["http://shop.example/(.*)"]}`, "", `send "http://shop.example/"`},
		{"POST /purge", `{"prefixes":["http://*.shop.example/"]}`, "", "not the name of a host"},
		{"POST /purge", `{"urls":["http://[::1/a"]}`, "", "not the name of a host"},
		{"POST /purge", `{"urls":["http://shop.example:x/a"]}`, "", "not the name of a host"},
		{"POST /purge", `{"urls":["http://bücher.example/"]}`, "", "in ASCII"},
		{"POST /purge", `{"keys":["a"]}`, "Content-Type: application/xml", "application/json"},
		{"POST /purge", `{"keys":["a"]}`, "Content-Type: application/json; charset=latin1", "UTF-8"},
		{"POST /purge", `{"keys":["a"]}`, "Content-Type: application/json\r\nContent-Type: application/json", "application/json"},
		{"POST /purge", `{"keys":["a"]}`, "Content-Type: json", "application/json"},
	} {
		var header []string
		if c.field != "" {
			header = append(header, c.field)
		}
		res, body := l.ask(t, c.line, c.body, header...)
		if res.StatusCode != 400 || len(l.purges) > 0 || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), c.want) {
			t.Errorf("%s %s %s: %d %s, want %q; purged %v", c.line, c.field, c.body, res.StatusCode, body, c.want, l.purges)
			l.purges = nil
		}
	}
}

// Methods of other caches are no calls, and the answer says which are.
func TestDialectMethods(t *testing.T) {
	for method, want := range map[string]string{
		"RMKEYS": "DELETE /tags/{tag}", "REFRESH": "soft", "FULLBAN": `"all":true`,
		"PURGEALL": `"all":true`, "SOFTPURGE": "soft", "purge": "capitals", "RMTAG": "DELETE /tags/{tag}", "INVALIDATE": "prefixes", "SOMETHING": "send PURGE",
	} {
		for _, host := range []string{"HOST", "shop.example"} {
			l := newListener().start(t)
			res, body := l.raw(t, "tcp", method+" / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\nX-Cache-Tags: a\r\n\r\n")
			if res.StatusCode != 405 || res.Header.Get("Allow") != "PURGE" || !strings.Contains(problemText(t, body), want) || len(l.purges) > 0 {
				t.Errorf("%s: %d %s, want %q", method, res.StatusCode, body, want)
			}
		}
	}
	for _, method := range []string{"BAN", "URIBAN", "PURGEKEYS", "REFRESH", "FULLBAN", "PURGEALL", "SOFTPURGE", "purge", "RMTAG", "RMKEYS", "INVALIDATE", "SOMETHING"} {
		for _, path := range []string{"/purge", "/keys/a", "/tags/a", "/healthz"} {
			l := newListener().start(t)
			if res, body := l.ask(t, method+" "+path, ""); res.StatusCode != 405 || len(l.purges) > 0 {
				t.Errorf("%s %s: %d %s", method, path, res.StatusCode, body)
			}
		}
	}
}

// Who may not purge is told that, and nothing about what they sent.
func TestNotUnderstoodAfterNotAllowed(t *testing.T) {
	tokens := []Token{{Name: "cms", Secret: "right", Allow: ScopePurge}, {Name: "eye", Secret: "read", Allow: ScopeRead}}
	for secret, status := range map[string]int{"": 401, "wrong": 401, "read": 403, "right": 400} {
		for _, call := range []string{"PURGE /.*", "DELETE /tags/*", "POST /purge?soft=maybe", "BAN /"} {
			l := newListener(tokens...)
			method, target, _ := strings.Cut(call, " ")
			want := status
			w := serveAt(l, loopback, method, target, "X-Team: a", "Authorization: Bearer "+secret)
			if told := strings.Contains(w.Body.String(), "underst"); w.Code != want || told != (secret == "right") || len(l.purges) > 0 {
				t.Errorf("%s with %q: %d %s, want %d", call, secret, w.Code, w.Body, want)
			}
		}
	}
}

// What is meant to be a pattern elsewhere can be purged as what it is.
func TestLiterals(t *testing.T) {
	l := newListener().start(t)
	for _, c := range []struct {
		line, body string
		want       []policy.Member
	}{
		{"PURGE http://s.example/a.%2A", "", policy.PathMembers("s.example", "/a.*")},
		{"PURGE http://s.example/%28.%2a%29", "", policy.PathMembers("s.example", "/(.*)")},
		{"PURGE http://s.example/a%24", "", policy.PathMembers("s.example", "/a$")},
		{"PURGE http://s.example/%5Ea", "", policy.PathMembers("s.example", "/^a")},
		{"PURGE http://s.example/%7Bid%7D", "", policy.PathMembers("s.example", "/{id}")},
		{"PURGE http://s.example/a%5B1%5D", "", policy.PathMembers("s.example", "/a[1]")},
		{"PURGE http://s.example/Foo_(bar)", "", policy.PathMembers("s.example", "/Foo_(bar)")},
		{"PURGE http://s.example/a?q=x%2A", "", append(policy.URLMembers("s.example", "/a", "q=x%2A", true), policy.URLMembers("s.example", "/a", "q=x*", true)...)},
		{"PURGE http://s.example/a?q=.%2a&r=%2A", "", append(policy.URLMembers("s.example", "/a", "q=.%2A&r=%2A", true), policy.URLMembers("s.example", "/a", "q=.*&r=*", true)...)},
		{"PURGE http://s.example/a?f[]=*&c={x}|y&d=$1", "", policy.URLMembers("s.example", "/a", "f[]=*&c={x}|y&d=$1", true)},
		{"POST /purge", `{"urls":["http://s.example/a?soft=1"]}`, policy.URLMembers("s.example", "/a", "soft=1", true)},
		{"POST /purge", `{"prefixes":["http://s.example/a%2A"]}`, policy.PrefixMembers("s.example", "/a*")},
		{"POST /purge", `{"tags":["a*b","price$1","a|b","a.b","(x)"]}`, []policy.Member{"ta*b", "tprice$1", "ta|b", "ta.b", "t(x)"}},
		{"DELETE /tags/product-%2A", "", []policy.Member{"tproduct-*"}},
		{"DELETE /keys/v2:product:%2A", "", []policy.Member{"kv2:product:*"}},
		{"DELETE /tags/%28%28%5E%7C%2C%29a%29", "", []policy.Member{"t((^|,)a)"}},
	} {
		l.purges = nil
		res, body := l.ask(t, c.line, c.body)
		if res.StatusCode != 200 {
			t.Errorf("%s %s: %d %s", c.line, c.body, res.StatusCode, body)
			continue
		}
		if p := l.last(t); fmt.Sprint(p.Members) != fmt.Sprint(c.want) {
			t.Errorf("%s %s: purged %q, want %q", c.line, c.body, p.Members, c.want)
		}
	}
}

// A PURGE is for the host that was meant, for every host, or refused.
func TestPurgeHost(t *testing.T) {
	l := newListener().start(t)
	of := func(host string) []policy.Member { return policy.PathMembers(host, "/a") }
	for _, c := range []struct {
		name, target, head string
		want               []policy.Member // nil: refused
	}{
		{"a port", "/a", "Host: Shop.example:8080", of("shop.example")},
		{"an empty port", "/a", "Host: shop.example:", of("shop.example")},
		{"the root's dot", "/a", "Host: shop.example.:80", append(of("shop.example."), of("shop.example")...)},
		{"none", "/a", "Host:", nil},
		{"an address", "/a", "Host: [2001:db8::1]:80", of("[2001:db8::1]")},
		{"the listener", "/a", "Host: HOST", of("")},
		{"an absolute target", "http://shop.example/a", "Host: other.example", of("shop.example")},
		{"an absolute target with the listener's port", "http://HOST/a", "Host: shop.example", of("")},
		{"a pattern", "/a", "Host: *", nil},
		{"part of a pattern", "/a", "Host: *.example", nil},
		{"two", "/a", "Host: shop.example,other.example", nil},
		{"two fields", "/a", "Host: shop.example\r\nHost: other.example", nil},
		{"no port", "/a", "Host: shop.example:x", nil},
		{"a proxy that kept it", "/a", "Host: shop.example:80\r\nX-Forwarded-Host: Shop.example\r\nForwarded: for=1.1.1.1;host=shop.example", of("shop.example")},
		{"a proxy that replaced it", "/a", "Host: cache\r\nX-Forwarded-Host: shop.example", nil},
		{"a proxy that replaced it, in the other field", "/a", "Host: cache\r\nForwarded: for=1.1.1.1;host=\"shop.example:80\"", nil},
		{"a proxy that replaced it, and a variable", "/a", "Host: cache\r\nX_Forwarded_Host: shop.example", nil},
		{"a proxy that put the listener there", "/a", "Host: HOST\r\nX-Forwarded-Host: shop.example", of("")},
		{"a proxy, and an absolute target", "http://shop.example/a", "Host: cache\r\nX-Forwarded-Host: cache", of("shop.example")},
	} {
		l.purges = nil
		res, body := l.raw(t, "tcp", "PURGE "+c.target+" HTTP/1.1\r\n"+c.head+"\r\nConnection: close\r\n\r\n")
		if c.want == nil {
			if res.StatusCode != 400 || len(l.purges) > 0 {
				t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
			}
			continue
		}
		if res.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
			continue
		}
		if p := l.last(t); fmt.Sprint(distinct(p.Members)) != fmt.Sprint(distinct(c.want)) {
			t.Errorf("%s: purged %q, want %q", c.name, p.Members, c.want)
		}
	}
}

// distinct is what members mean, whatever their order and number.
func distinct(members []policy.Member) map[policy.Member]bool {
	set := map[policy.Member]bool{}
	for _, m := range members {
		set[m] = true
	}
	return set
}

// HTTP/2 has the same fields and trailers, and may have a Host beside the authority.
func TestNotUnderstoodOverHTTP2(t *testing.T) {
	l := newListener(Token{Name: "cms", Secret: "s", Allow: ScopePurge})
	srv := httptest.NewUnstartedServer(New(l.Options))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"nothing", func(*http.Request) {}, 200},
		{"a field", func(r *http.Request) { r.Header.Set("xkey", "a") }, 400},
		{"a trailer", func(r *http.Request) {
			r.Body, r.ContentLength, r.Trailer = io.NopCloser(strings.NewReader("")), -1, http.Header{"Xkey": {"a"}}
		}, 400},
		{"a body", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a")), -1 }, 400},
	} {
		l.purges = nil
		r, err := http.NewRequestWithContext(t.Context(), "PURGE", srv.URL+"/a", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer s")
		c.change(r)
		res, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.ProtoMajor != 2 || res.StatusCode != c.status || (len(l.purges) > 0) != (c.status == 200) {
			t.Errorf("%s: %s %d, purged %v", c.name, res.Proto, res.StatusCode, l.purges)
		}
	}
	l.purges = nil
	two := httptest.NewRequest("PURGE", "http://shop.example/a", nil)
	two.Header.Set("Host", "other.example")
	two.Header.Set("Authorization", "Bearer s")
	w := httptest.NewRecorder()
	New(l.Options).ServeHTTP(w, two.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, loopback)))
	if w.Code != 400 || len(l.purges) > 0 {
		t.Errorf("two hosts: %d %s", w.Code, w.Body)
	}
}

// A key or a tag that no copy can have is refused by every call that can say it, since its purge would be acknowledged for nothing.
func TestNamesThatNoCopyHas(t *testing.T) {
	l := newListener().start(t)
	for _, c := range []string{"\x00", "\x01", "\n", "\r", "\x1f", "\x7f"} {
		quoted, err := json.Marshal("a" + c + "b")
		if err != nil {
			t.Fatal(err)
		}
		escaped := fmt.Sprintf("a%%%02Xb", c[0])
		for _, call := range []struct{ line, body string }{
			{"DELETE /tags/" + escaped, ""}, {"DELETE /keys/" + escaped, ""}, {"POST /service/1/purge/" + escaped, ""},
			{"POST /purge", `{"tags":[` + string(quoted) + `]}`}, {"POST /purge", `{"keys":[` + string(quoted) + `]}`},
			{"POST /service/1/purge", `{"surrogate_keys":[` + string(quoted) + `]}`},
			{"POST /client/v4/zones/1/purge_cache", `{"tags":[` + string(quoted) + `]}`},
		} {
			if res, body := l.ask(t, call.line, call.body); res.StatusCode != 400 || len(l.purges) > 0 {
				t.Errorf("%s %s: %d %s, purged %v", call.line, call.body, res.StatusCode, body, l.purges)
			}
		}
	}
	// What a field of a response can hold goes.
	for _, line := range []string{"DELETE /tags/a%09b", "DELETE /tags/%C3%BC", "DELETE /tags/%FF", "DELETE /keys/a%20b"} {
		l.purges = nil
		if res, body := l.ask(t, line, ""); res.StatusCode != 200 || len(l.purges) != 1 {
			t.Errorf("%s: %d %s", line, res.StatusCode, body)
		}
	}
}
