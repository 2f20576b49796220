package admin

import (
	"cacheproxy/policy/httpcache"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// boundTokens are tokens that are bound in each way.
func boundTokens() []Token {
	return []Token{
		{Name: "place", Allow: ScopeAll, From: networks("10.0.3.0/24", "2001:db8::/32"), Sites: []string{"Shop.example", "www.shop.example"}, Tags: []string{"cat_", ""}},
		{Name: "both", Secret: "s-both", Allow: ScopePurge | ScopePurgeAll, From: networks("10.0.4.0/24"), Sites: []string{"shop.example"}, AnyTags: true},
		{Name: "site", Secret: "s-site", Allow: ScopeAll, Sites: []string{"shop.example"}},
		{Name: "tags", Secret: "s-tags", Allow: ScopePurge, Tags: []string{"cat_"}},
		{Name: "cms", Secret: "s-cms", Allow: ScopePurge},
		{Name: "sre", Secret: "s-all", Allow: ScopeAll},
		{Name: "nowhere", Allow: ScopeAll, From: networks("10.0.5.0/24")},
		{Name: "nobody", Allow: ScopeAll, Sites: []string{"shop.example"}},
	}
}

func networks(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// serveFrom serves a request of a peer to a listener at an address that others reach.
func serveFrom(l *listener, peer, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = peer
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr("10.0.0.1")))
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Add(name, value); name == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	New(l.Options).ServeHTTP(w, r)
	return w
}

func TestBounds(t *testing.T) {
	const near, other, both = "10.0.3.7:40000", "10.0.9.9:40000", "10.0.4.4:1"
	shop, bearer := "Host: shop.example", func(secret string) string { return "Authorization: Bearer " + secret }
	for _, c := range []struct {
		peer, call, body string
		header           []string
		status           int
		want             string // members, or a word of the refusal
	}{
		// Without a secret: from there, under a site's name, what belongs to the sites.
		{near, "PURGE /a", "", []string{shop}, 200, "path:shop.example/a path:*/a"},
		{near, "PURGE /a", "", []string{"Host: WWW.shop.example.:80"}, 200, "path:www.shop.example/a"},
		{"[2001:db8::7%eth0]:1", "PURGE /a", "", []string{shop}, 200, "path:shop.example/a path:*/a"},
		{"[::ffff:10.0.3.7]:1", "PURGE /a", "", []string{shop}, 200, "path:shop.example/a path:*/a"},
		{near, "PURGE /blog/.*", "", []string{shop}, 200, "prefix:shop.example/blog prefix:*/blog"},
		{near, "PURGE /", "", []string{shop, "xkey: cat_p_1"}, 200, "tag:cat_p_1"},
		{near, "POST /purge", `{"urls":["http://shop.example/a"]}`, []string{shop}, 200, "path:shop.example/a path:*/a"},
		{near, "POST /purge", `{"urls":["/a"]}`, []string{shop}, 200, "path:shop.example/a path:*/a path:www.shop.example/a path:*/a"},
		{near, "PURGE /a", "", []string{"Host: shop.example:8081"}, 200, "path:shop.example/a path:*/a path:www.shop.example/a path:*/a"},
		{other, "PURGE /a", "", []string{shop}, 401, ""},
		{other, "PURGE /a", "", []string{shop, "X-Forwarded-For: 10.0.3.7"}, 401, ""},
		{near, "PURGE /a", "", []string{shop, "X-Forwarded-For: 10.0.3.8"}, 401, "proxy"},
		{near, "PURGE /a", "", []string{shop, "x_real_ip: 10.0.3.8"}, 401, "proxy"},
		{near, "PURGE /a", "", []string{shop, "Via: 1.1 x"}, 401, "proxy"},
		{near, "PURGE /a", "", []string{shop, "CF-Connecting-IP: 192.0.2.1"}, 401, "proxy"},
		{near, "PURGE /a", "", []string{shop, "X_Forwarded_Proto: https"}, 401, "proxy"},
		{near, "PURGE /a", "", []string{shop, "X-Varnish: 17"}, 401, "proxy"},
		{other, "PURGE /service/S/purge_all", "", []string{shop, bearer("s-all")}, 400, "send POST"},
		{other, "PURGE /client/v4/zones/Z/purge_cache", "", []string{shop, bearer("s-all")}, 400, "send POST"},
		{"@", "PURGE /a", "", []string{shop}, 401, ""},
		{"10.0.5.5:1", "PURGE /a", "", []string{shop}, 401, ""},
		{near, "PURGE /a", "", []string{"Host: other.example"}, 403, "none of the sites"},
		{near, "PURGE /a", "", []string{"Host: "}, 403, "none of the sites"},
		{near, "PURGE http://other.example/a", "", []string{shop, "Host: shop.example"}, 403, ""},
		{near, "POST /purge", `{"urls":["http://other.example/a"]}`, []string{shop}, 403, "is not for"},
		{near, "POST /purge", `{"urls":["http://shop.example/a","http://other.example/a"]}`, []string{shop}, 403, "is not for"},
		{near, "POST /purge", `{"prefixes":["http://shop.example.evil.example/a"]}`, []string{shop}, 403, "is not for"},
		{near, "POST /purge", `{"prefixes":["http://*/a"]}`, []string{shop}, 400, "not the name of a host"},
		{near, "POST /purge", `{"keys":["cat_p"]}`, []string{shop}, 403, "is not for"},
		{near, "POST /purge", `{"routes":["stock"]}`, []string{shop}, 403, "is not for"},
		{near, "POST /purge", `{"tags":["cat_p","node:1"]}`, []string{shop}, 403, "is not for"},
		{near, "DELETE /tags/node:1", "", []string{shop}, 403, "is not for"},
		{near, "POST /purge", `{"all":true,"confirm":true}`, []string{shop}, 403, "purge-all"},
		{near, "POST /purge", `{"prefixes":["/"]}`, []string{shop}, 403, "purge-all"},
		{near, "POST /purge", `{"prefixes":["http://shop.example/"]}`, []string{shop}, 403, "purge-all"},
		{near, "POST /purge", `{"prefixes":["http://shop.example//"]}`, []string{shop}, 403, "purge-all"},
		{near, "POST /purge", `{"prefixes":["http://shop.example/a/.."]}`, []string{shop}, 403, "purge-all"},
		{near, "PURGE /.*", "", []string{shop, "X-Purge-Method: regex"}, 403, "purge-all"},
		{near, "PURGE /", "", []string{shop, "X-Magento-Tags-Pattern: .*"}, 403, "purge-all"},
		{near, "BAN /", "", []string{shop, "X-Host: .*", "X-Url: .*"}, 403, "purge-all"},
		{near, "BAN /", "", []string{shop, "X-Host: ^other.example$", "X-Url: ^/a$"}, 403, "is not for"},
		{near, "BAN /", "", []string{shop, "X-Host: other.example", "X-Url: ^/a$"}, 403, "is not for"},
		{near, "POST /service/S/purge_all", "", []string{shop}, 403, "purge-all"},
		{near, "POST /client/v4/zones/Z/purge_cache", `{"purge_everything":true}`, []string{shop}, 403, "purge-all"},
		{near, "POST /client/v4/zones/Z/purge_cache", `{"hosts":["other.example"]}`, []string{shop}, 403, ""},
		{near, "GET /config", "", []string{shop}, 403, "allows"},
		{near, "POST /routes/stock/mode", `{"mode":"off"}`, []string{shop}, 403, "allows"},
		{near, "POST /reload", "", []string{shop}, 403, "allows"},
		// A page in a browser there.
		{near, "PURGE /a", "", []string{shop, "Origin: http://shop.example"}, 403, "Origin"},
		{near, "PURGE /a", "", []string{shop, "Sec-Fetch-Site: same-origin"}, 403, "web page"},
		{near, "POST /purge", `{"urls":["/a"]}`, []string{shop, "Content-Type: text/plain"}, 403, "form"},
		// A wrong secret is not none.
		{near, "PURGE /a", "", []string{shop, bearer("wrong")}, 401, "not known"},
		{near, "PURGE /a", "", []string{shop, "Authorization: Basic x"}, 401, "needs an"},
		{near, "PURGE /a", "", []string{shop, "Fastly-Key: "}, 401, "needs an"},
		{near, "PURGE /a", "", []string{shop, "Authorization: Negotiate x"}, 401, "needs an"},

		// With both, both are needed.
		{both, "PURGE /a", "", []string{shop, bearer("s-both")}, 200, "path:shop.example/a path:*/a"},
		{other, "PURGE /a", "", []string{shop, bearer("s-both")}, 401, "where the call comes from"},
		{both, "PURGE /a", "", []string{shop}, 401, ""},
		{both, "POST /purge", `{"tags":["anything"]}`, []string{bearer("s-both")}, 200, "tag:anything"},
		{both, "POST /purge", `{"all":true,"confirm":true}`, []string{bearer("s-both")}, 200, "prefix:shop.example prefix:*"},
		{both, "PURGE /", "", []string{"Host: 10.0.0.1", "X-Magento-Tags-Pattern: .*", bearer("s-both")}, 200, "prefix:shop.example prefix:*"},
		{both, "POST /service/S/purge_all", "", []string{"Fastly-Key: s-both"}, 200, "prefix:shop.example prefix:*"},
		{both, "POST /client/v4/zones/Z/purge_cache", `{"purge_everything":true}`, []string{bearer("s-both")}, 200, "prefix:shop.example prefix:*"},
		{both, "POST /client/v4/zones/Z/purge_cache", `{"hosts":["other.example"]}`, []string{bearer("s-both")}, 403, "is not for"},

		// Bound, with a secret.
		{other, "PURGE /a", "", []string{"Host: shop.example", bearer("s-site")}, 200, "path:shop.example/a path:*/a"},
		{other, "PURGE /a", "", []string{"Host: other.example", bearer("s-site")}, 403, "is not for"},
		{other, "DELETE /tags/a", "", []string{bearer("s-site")}, 403, "nothing, since it has no tags"},
		{other, "DELETE /keys/a", "", []string{bearer("s-site")}, 403, "is not for"},
		{other, "GET /config", "", []string{bearer("s-site")}, 403, "allows"},
		{other, "POST /purge", `{"all":true,"confirm":true}`, []string{bearer("s-site")}, 200, "prefix:shop.example prefix:*"},
		{other, "DELETE /tags/cat_1", "", []string{bearer("s-tags")}, 200, "tag:cat_1"},
		{other, "DELETE /tags/dog_1", "", []string{bearer("s-tags")}, 403, "cat_"},
		{other, "PURGE /a", "", []string{"Host: shop.example", bearer("s-tags")}, 403, "is not for"},
		{other, "POST /purge", `{"urls":["/a"]}`, []string{bearer("s-tags")}, 400, "names nothing"},

		// Not bound: everything is a scope of its own.
		{other, "POST /purge", `{"all":true,"confirm":true}`, []string{bearer("s-cms")}, 403, "purge-all"},
		{other, "POST /purge", `{"prefixes":["/"]}`, []string{bearer("s-cms")}, 403, "purge-all"},
		{other, "PURGE /.*", "", []string{shop, bearer("s-cms")}, 403, "purge-all"},
		{other, "PURGE /blog/.*", "", []string{shop, bearer("s-cms")}, 200, "prefix:shop.example/blog prefix:*/blog prefix:**/blog"},
		{other, "POST /purge", `{"all":true,"confirm":true}`, []string{bearer("s-all")}, 200, "all"},
		// Other ways to present a secret.
		{other, "DELETE /tags/a", "", []string{"Authorization: Basic " + "d3A6cy1jbXM="}, 200, "tag:a"},
		{other, "DELETE /tags/a", "", []string{"Authorization: basic " + "OnMtY21z"}, 200, "tag:a"},
		{other, "DELETE /tags/a", "", []string{"Authorization: Basic " + "d3A6cy1jbXM=", "Origin: http://evil.example"}, 403, "browsers add"},
		{other, "DELETE /tags/a", "", []string{"Authorization: Bearer s-cms", "Origin: http://evil.example"}, 200, "tag:a"},
		{other, "DELETE /tags/a", "", []string{"Authorization: Basic " + "cy1jbXM="}, 401, ""},
		{other, "DELETE /tags/a", "", []string{"Fastly-Key: s-cms"}, 200, "tag:a"},
		{other, "DELETE /tags/a", "", []string{"Fastly-Key: s-cms", "Authorization: Bearer s-cms"}, 401, "several"},
		{other, "DELETE /tags/a", "", []string{"Fastly-Key: s-cms", "Fastly-Key: s-cms"}, 401, "several"},
		{other, "DELETE /tags/a", "", []string{"Fastly-Key: wrong"}, 401, ""},
	} {
		l := newListener(boundTokens()...)
		method, target, _ := strings.Cut(c.call, " ")
		w := serveFrom(l, c.peer, method, target, c.body, c.header...)
		if w.Code != c.status || c.status >= 400 && !strings.Contains(strings.ReplaceAll(w.Body.String(), `\"`, `"`), c.want) {
			t.Errorf("%s: %s %q %s: %d %s, want %d %s", c.peer, c.call, c.header, c.body, w.Code, w.Body, c.status, c.want)
		}
		if c.status >= 400 {
			if len(l.purges) > 0 {
				t.Errorf("%s: %s %q %s: purged %v", c.peer, c.call, c.header, c.body, l.purges)
			}
			continue
		}
		if len(l.purges) == 0 {
			continue
		}
		var members []string
		for _, m := range l.last(t).Members {
			members = append(members, m.String())
		}
		if got := strings.Join(members, " "); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s %q %s: purged %s, want %s", c.peer, c.call, c.header, c.body, got, c.want)
		}
	}
}

// Whatever a caller with bounds sends, nothing beyond them is purged: no other site's URLs, no names that have no host, and without the
// scope never everything.
func FuzzBounds(f *testing.F) {
	for _, seed := range []struct{ method, target, host, field, value, body string }{
		{"PURGE", "/a", "shop.example", "X-Purge-Method", "regex", ""},
		{"PURGE", "/.*", "other.example", "xkey", "cat_1 dog_1", ""},
		{"BAN", "/", "shop.example", "X-Host", "^(shop.example|other.example)$", ""},
		{"PURGE", "/", "shop.example:8081", "X-Magento-Tags-Pattern", ".*", ""},
		{"POST", "/purge", "shop.example", "Accept", "x", `{"urls":["http://other.example/a"],"prefixes":["/"]}`},
		{"POST", "/service/S/purge_all", "shop.example", "Surrogate-Key", "a", ""},
		{"POST", "/client/v4/zones/Z/purge_cache", "shop.example", "Accept", "x", `{"purge_everything":true,"hosts":["a"]}`},
		{"URIBAN", "//other.example/../x", "shop.example.", "Accept", "x", ""},
		{"PURGEKEYS", "/", "SHOP.example", "xkey-softpurge", "cat_,dog", ""},
		{"PURGE", "http://other.example/a?soft=1", "shop.example", "Accept", "x", ""},
	} {
		f.Add(seed.method, seed.target, seed.host, seed.field, seed.value, seed.body)
	}
	var purged []policy.Member
	l := newListener(Token{Name: "place", Allow: ScopeAll, From: networks("192.0.2.0/24"), Sites: []string{"shop.example"}, Tags: []string{"cat_"}})
	h := New(l.Options)
	f.Fuzz(func(t *testing.T, method, target, host, field, value, body string) {
		if method == "" || strings.ContainsAny(method, " \t\r\n\x00") {
			return
		}
		l.purges = nil
		r := &http.Request{
			Method: method, RequestURI: target, Host: host, Header: http.Header{http.CanonicalHeaderKey(field): {value}},
			Body: http.NoBody, RemoteAddr: "192.0.2.1:1", ProtoMajor: 1, ProtoMinor: 1,
		}
		if body != "" {
			b := httptest.NewRequest("POST", "/", strings.NewReader(body))
			r.Body, r.ContentLength = b.Body, b.ContentLength
		}
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, addr("10.0.0.1"))))
		purged = nil
		for _, p := range l.purges {
			purged = append(purged, p.Members...)
		}
		for _, m := range purged {
			value := m.Value()
			within := strings.HasPrefix(value, "shop.example/") || strings.HasPrefix(value, "*/")
			switch m.Kind() {
			case policy.KindTag:
				within = strings.HasPrefix(value, "cat_")
			case policy.KindURL, policy.KindPath, policy.KindPrefix:
			default:
				within = false
			}
			if !within {
				t.Fatalf("%s %s with Host %q, %s: %q and %s: purged %q", method, target, host, field, value, body, m)
			}
		}
		if len(l.modes) > 0 {
			t.Fatalf("%s %s switched %v", method, target, l.modes)
		}
	})
}

func addr(ip string) *net.TCPAddr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8081} }

// What a caller with bounds purges finds every copy that clients of its site can get, also of an API that is sent a Host of its own and so
// does not know the site, and none that only clients of other sites can get.
func TestSiteFindsItsCopies(t *testing.T) {
	copyOf := func(host string, patterns ...string) []policy.Member {
		r := &policy.Route{Name: "r", Policy: policy.CacheAside, Caches: true, Host: policy.HostRule{Literal: "api.internal"}}
		for _, text := range patterns {
			p, err := policy.ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			r.Patterns = append(r.Patterns, p)
		}
		table, err := policy.NewTable([]*policy.Route{r})
		if err != nil {
			t.Fatal(err)
		}
		at := httpcache.Target{Scheme: "http", Host: host, Path: "/a/1"}
		m, _ := table.Match(http.MethodGet, at, nil, netip.Addr{})
		if m.Route == nil {
			t.Fatalf("%s has no route in %q", host, patterns)
		}
		return r.Members(&m, at, "", nil, http.Header{})
	}
	const own, other = "shop.example", "other.example"
	for _, body := range []string{
		`{"all":true,"confirm":true}`, `{"prefixes":["http://shop.example/"]}`, `{"prefixes":["/a"]}`, `{"urls":["http://shop.example/a/1"]}`, `{"urls":["/a/1"]}`,
	} {
		l := newListener(Token{Name: "site", Secret: "s-site", Allow: ScopePurge | ScopePurgeAll, Sites: []string{own}})
		if w := serveFrom(l, "10.0.9.9:1", "POST", "/purge", body, "Authorization: Bearer s-site"); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		named := l.last(t).Members
		for _, c := range []struct {
			members []policy.Member
			want    bool
		}{
			{copyOf(own, "GET /a/{id}"), true},
			{copyOf(own, "GET shop.example/a/{id}"), true},
			{copyOf(own, "GET shop.example/a/{id}", "GET www.example/a/{id}", "GET m.example/a/{id}"), true},
			{copyOf(other, "GET other.example/a/{id}"), false},
			{copyOf(other, "GET other.example/a/{id}", "GET www.example/a/{id}"), false},
		} {
			if got := slices.ContainsFunc(c.members, func(m policy.Member) bool { return slices.Contains(named, m) }); got != c.want {
				t.Errorf("%s names %q, which finds the copy of %q: %t, want %t", body, named, c.members, got, c.want)
			}
		}
	}
}
