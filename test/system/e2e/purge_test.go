package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// shopConfig has a copy that can be reached by each kind of purge.
const shopConfig = `
listen: 127.0.0.1:0
drain_delay: 0s
log: {hits: 0%%, others: 0%%}
memory: {size: 64MiB}
upstreams: [{name: shop, url: "%s", max_in_flight: 64}]
routes:
  - name: product
    match: GET /products/{id}
    policy: cache-aside
    key: v2:product:{id}
    tags: [catalogue]
    query: {include: [page]}
    ttl: 10m
    stale_while_revalidate: 10m
  - {name: other, match: GET /other/, policy: cache-aside, ttl: 10m}
  - {name: rest, match: /, policy: bypass}
`

// purgeCase is one way to purge, and which copies go.
type purgeCase struct {
	name, method, target, body string
	fields                     []string
	kept                       bool // whether the copy of /products/1 itself stays
	second, page, other        bool // whether the copies of /products/2, /products/1?page=2 and /other/1 go too
}

var purgeCases = []purgeCase{
	{name: "DELETE key", method: "DELETE", target: "/keys/v2:product:1", page: true},
	{name: "DELETE key, escaped", method: "DELETE", target: "/keys/v2%3Aproduct%3A1", page: true},
	{name: "DELETE tag", method: "DELETE", target: "/tags/catalogue", second: true, page: true},
	{name: "PURGE, any query", method: "PURGE", target: "/products/1", page: true},
	{name: "PURGE, one query", method: "PURGE", target: "/products/1?page=2", kept: true, page: true},
	{name: "PURGE, its host", method: "PURGE", target: "/products/1", fields: []string{"Host: 127.0.0.1"}, page: true},
	{name: "keys", method: "POST", target: "/purge", body: `{"keys":["v2:product:1"]}`, page: true},
	{name: "tags", method: "POST", target: "/purge", body: `{"tags":["catalogue"]}`, second: true, page: true},
	{name: "urls", method: "POST", target: "/purge", body: `{"urls":["/products/1"]}`, page: true},
	{name: "urls, one query", method: "POST", target: "/purge", body: `{"urls":["/products/1?page=2"]}`, kept: true, page: true},
	{name: "urls, another host", method: "POST", target: "/purge", body: `{"urls":["http://elsewhere.example/products/1"]}`, kept: true},
	{name: "prefix that ends inside a segment", method: "POST", target: "/purge", body: `{"prefixes":["/prod"]}`, kept: true},
	{name: "prefixes", method: "POST", target: "/purge", body: `{"prefixes":["/products"]}`, second: true, page: true},
	{name: "routes", method: "POST", target: "/purge", body: `{"routes":["product"]}`, second: true, page: true},
	{name: "all", method: "POST", target: "/purge", body: `{"all":true,"confirm":true}`, second: true, page: true, other: true},
	{name: "mixed", method: "POST", target: "/purge", body: `{"keys":["v2:product:1"],"urls":["/other/1"]}`, page: true, other: true},
}

// Each kind of purge takes away exactly the copies that it names, at once, and answers with a receipt.
func TestPurge(t *testing.T) {
	o := newOrigin(t)
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
	for _, c := range purgeCases {
		t.Run(c.name, func(t *testing.T) {
			fill(t, p)
			wantReceipt(t, call(t, c.method, p.admin+c.target, c.body, c.fields...))
			wantHit(t, p.data+"/products/1", c.kept)
			wantHit(t, p.data+"/products/2", !c.second)
			wantHit(t, p.data+"/products/1?page=2", !c.page)
			wantHit(t, p.data+"/other/1", !c.other)
		})
	}
}

// fill makes the four copies that the cases of purges speak of.
func fill(t testing.TB, p *process) {
	t.Helper()
	for _, target := range []string{"/products/1", "/products/2", "/products/1?page=2", "/other/1"} {
		// A client can have its answer a moment before the copy is there.
		eventually(t, target+" is answered from a copy", func() bool { return get(t, p.data+target).isHit() })
	}
}

func wantReceipt(t testing.TB, a answer) {
	t.Helper()
	r := a.fields(t)
	acked, _ := r["acked"].([]any)
	reaped, isList := r["reaped"].([]any)
	id, _ := r["id"].(string)
	seq, _ := r["seq"].(float64)
	took, isNumber := r["took_ms"].(float64)
	if a.status != http.StatusOK || r["instances"] != 1.0 || len(acked) != 1 || !isList || len(reaped) != 0 || id == "" || seq < 1 ||
		!isNumber || took < 0 || took > 1000 {
		t.Errorf("receipt: %d %s", a.status, a.body)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("header of the receipt: %v", a.header)
	}
}

// A soft purge marks copies stale: they still answer inside their stale window, while one request fetches anew.
func TestSoftPurge(t *testing.T) {
	for _, c := range []struct{ name, method, target, body string }{
		{"DELETE key", "DELETE", "/keys/v2:product:1?soft=1", ""},
		{"DELETE tag", "DELETE", "/tags/catalogue?soft=true", ""},
		{"POST", "POST", "/purge", `{"prefixes":["/products"],"soft":true}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrigin(t)
			p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
			fill(t, p)
			wantReceipt(t, call(t, c.method, p.admin+c.target, c.body))
			a := get(t, p.data+"/products/1")
			if a.body != "GET /products/1 #1" || !a.isHit() || !strings.Contains(a.cacheStatus(), "detail=soft-purged") {
				t.Errorf("after the soft purge: %q, %q, want the old copy, stale", a.body, a.cacheStatus())
			}
			eventually(t, "the copy is fetched anew", func() bool {
				a := get(t, p.data+"/products/1")
				return a.body == "GET /products/1 #2" && a.isHit()
			})
		})
	}
}

func TestPurgeWait(t *testing.T) {
	o := newOrigin(t)
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
	for _, c := range []struct{ method, target, body string }{
		{"DELETE", "/keys/v2:product:1?wait=none", ""},
		{"DELETE", "/tags/catalogue?wait=local", ""},
		{"POST", "/purge", `{"keys":["v2:product:1"],"wait":"none"}`},
		{"POST", "/purge", `{"keys":["v2:product:1"],"wait":"local"}`},
	} {
		fill(t, p)
		a := call(t, c.method, p.admin+c.target, c.body)
		if r := a.fields(t); a.status != http.StatusAccepted || r["id"] == "" || r["recorded"] != true {
			t.Errorf("%s %s %s: %d %s", c.method, c.target, c.body, a.status, a.body)
		}
		wantHit(t, p.data+"/products/1", false)
	}
}

// What could mean something else than it says is refused, with words, and purges nothing.
func TestPurgeRefused(t *testing.T) {
	o := newOrigin(t)
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
	fill(t, p)
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		want                       string
	}{
		{"nothing", "POST", "/purge", `{}`, 400, "names nothing"},
		{"empty lists", "POST", "/purge", `{"keys":[],"tags":[]}`, 400, "names nothing"},
		{"no body", "POST", "/purge", "", 400, "JSON"},
		{"no JSON", "POST", "/purge", "keys=a", 400, "JSON"},
		{"an empty name", "POST", "/purge", `{"keys":[""]}`, 400, "empty"},
		{"an unknown field", "POST", "/purge", `{"key":["v2:product:1"]}`, 400, `unknown field`},
		{"a field twice", "POST", "/purge", `{"keys":["a"],"keys":["b"]}`, 400, "twice"},
		{"all without confirm", "POST", "/purge", `{"all":true}`, 400, "confirm"},
		{"an unknown route", "POST", "/purge", `{"routes":["products"]}`, 400, "no route is named"},
		{"no path", "POST", "/purge", `{"urls":["products/1"]}`, 400, ""},
		{"an unknown wait", "POST", "/purge", `{"keys":["a"],"wait":"some"}`, 400, "wait"},
		{"a body too large", "POST", "/purge", `{"keys":["` + strings.Repeat("a", 2<<20) + `"]}`, 413, ""},
		{"an unknown parameter", "DELETE", "/keys/v2:product:1?sofft=1", "", 400, "sofft"},
		{"an empty key", "DELETE", "/keys/", "", 400, ""},
		{"no such call", "GET", "/purges", "", 404, "no such call"},
		{"another method", "GET", "/purge", "", 405, "POST"},
		{"another method on a key", "GET", "/keys/v2:product:1", "", 405, "DELETE"},
		{"a mode of no route", "POST", "/routes/products/mode", `{"mode":"off"}`, 404, "no route"},
		{"no such mode", "POST", "/routes/product/mode", `{"mode":"paused"}`, 400, "paused"},
		{"explain nothing", "GET", "/explain", "", 400, "url is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := call(t, c.method, p.admin+c.target, c.body)
			if said := fmt.Sprint(a.fields(t)["error"]); a.status != c.status || !strings.Contains(said, c.want) {
				t.Errorf("%d %s, want %d and %q", a.status, a.body, c.status, c.want)
			}
			if a.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
				t.Error("405 without Allow (RFC 9110 §15.5.6)")
			}
		})
	}
	wantHit(t, p.data+"/products/1", true)
	wantHit(t, p.data+"/other/1", true)
}

// What plugins for other caches send is refused, and every copy stays, until it is said in the words that the answer
// gives: then the copies go.
func TestPurgeNotUnderstood(t *testing.T) {
	o := newOrigin(t, "Surrogate-Key: list:* shelf", "Cache-Control: max-age=600")
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
	host := strings.TrimPrefix(p.admin, "http://")
	for _, c := range []struct{ name, head, body, status, said, instead string }{
		{"tags and a path", "PURGE /products/1\r\nxkey: shelf", "", "400", "send two calls", "DELETE /tags/shelf"},
		{"a tag header that is not known", "PURGE /\r\nX-Shelf-Tags: shelf", "", "400", "DELETE /tags/{tag}", "DELETE /tags/shelf"},
		{"a tag header, as a variable", "PURGE /products/1\r\nX_Shelf_Tags: shelf", "", "400", "DELETE /tags/{tag}", "DELETE /tags/shelf"},
		{"a tag header after the content", "PURGE /products/1\r\nTransfer-Encoding: chunked", "0\r\nX-Cache-Tags: shelf\r\n\r\n", "400", "DELETE /tags/{tag}", "DELETE /tags/shelf"},
		{"a pattern of tags", "PURGE /\r\nX-Magento-Tags-Pattern: ((^|,)she.*(,|$))", "", "400", "understood as tags", "DELETE /tags/shelf"},
		{"a pattern of paths", "PURGE /products.*\r\nX-Purge-Method: regex", "", "400", "prefixes", `POST /purge {"prefixes":["/products"]}`},
		{"a pattern of paths alone", "PURGE /products.*", "", "400", `{\"prefixes\":[\"/products\"]}`, `POST /purge {"prefixes":["/products"]}`},
		{"a soft header", "DELETE /keys/v2:product:1\r\nFastly-Soft-Purge: 1", "", "400", "soft", "PURGE /products/1"},
		{"a soft parameter", "PURGE /products/1?soft=yes", "", "400", "word to the proxy", `POST /purge {"urls":["/products/1"]}`},
		{"a body", "PURGE /\r\nContent-Length: 5", "tag=a", "400", "takes no body", "PURGE /products/1"},
		{"a method", "RMTAG /\r\nX-Cache-Tags: shelf", "", "405", "DELETE /tags/{tag}", "DELETE /tags/shelf"},
		{"a replaced host", "PURGE /products/1\r\nHost: cache\r\nX-Forwarded-Host: 127.0.0.1", "", "400", "http://127.0.0.1/products/1", `POST /purge {"urls":["http://127.0.0.1/products/1"]}`},
		{"a pattern of hosts", "PURGE http://*/products/1", "", "400", "not the name of a host", "PURGE /products/1"},
		{"a pattern of keys", "DELETE /keys/v2:product:*", "", "400", "looks like a pattern", `POST /purge {"routes":["product"]}`},
		{"a tag that looks like a pattern", "DELETE /tags/list:*", "", "400", "DELETE /tags/list:%2A", "DELETE /tags/list:%2A"},
		{"parameters beside a body", "POST /purge?tag=a\r\nContent-Length: 18", `{"tags":["shelf"]}`, "400", "unknown query parameter", `POST /purge {"tags":["shelf"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fill(t, p)
			line, fields, _ := strings.Cut(c.head, "\r\n")
			if !strings.HasPrefix(fields, "Host: ") {
				fields = "Host: " + host + "\r\n" + fields
			}
			said := sendRaw(t, p.admin, line+" HTTP/1.1\r\n"+strings.TrimSuffix(fields, "\r\n")+"\r\nConnection: close\r\n\r\n"+c.body)
			if !strings.HasPrefix(said, "HTTP/1.1 "+c.status) || !strings.Contains(said, c.said) {
				t.Errorf("%q: %s, want %s and %q", c.head, said, c.status, c.said)
			}
			for _, target := range []string{"/products/1", "/products/2", "/products/1?page=2", "/other/1"} {
				wantHit(t, p.data+target, true)
			}
			method, instead, _ := strings.Cut(c.instead, " ")
			target, body, _ := strings.Cut(instead, " ")
			wantReceipt(t, call(t, method, p.admin+target, body))
			wantHit(t, p.data+"/products/1", false)
		})
	}
}

// What plugins for other caches send purges what it names there, and nothing else. Tags stand in whatever field a response has them in,
// and clients do not get these fields.
func TestPurgeAsPluginsDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tags, head, body, said string }{
		{"Xkey: shelf", "PURGE /\r\nxkey: shelf", "", `"acked"`},
		{"Surrogate-Key: shelf", "PURGE /\r\nSurrogate-Key: shelf, other", "", `"acked"`},
		{"X-Magento-Tags: cat_p,shelf,FPC", "PURGE /\r\nX-Magento-Tags-Pattern: ((^|,)shelf(,|$))|((^|,)other(,|$))", "", `"acked"`},
		{"Cache-Tags: node:1 shelf", "BAN /\r\nCache-Tags: shelf|node:2", "", `"acked"`},
		{"X-Cache-Tags: a,shelf", `BAN /` + "\r\n" + `X-Host: .*` + "\r\n" + `X-Url: .*` + "\r\n" + `X-Cache-Tags: (^|,)(shelf)(,|$)`, "", `"acked"`},
		{"Xkey: shelf", "PURGEKEYS /\r\nxkey-purge: shelf", "", `"acked"`},
		{"Surrogate-Key: shelf", "POST /service/S/purge/shelf\r\nFastly-Key: k", "", `{"status":"ok"`},
		{"Cache-Tag: shelf", "POST /client/v4/zones/Z/purge_cache\r\nContent-Length: 18", `{"tags":["shelf"]}`, `{"success":true`},
		{"X-A: b", "PURGE /products/.*\r\nX-Purge-Method: regex", "", `"acked"`},
		{"X-A: b", "URIBAN /products/1", "", `"acked"`},
	} {
		o := newOrigin(t, c.tags, "Cache-Control: max-age=600")
		p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
		fill(t, p)
		line, fields, _ := strings.Cut(c.head, "\r\n")
		said := sendRaw(t, p.admin, line+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(p.admin, "http://")+"\r\n"+fields+strings.Repeat("\r\n", min(1, len(fields)))+"Connection: close\r\n\r\n"+c.body)
		if !strings.HasPrefix(said, "HTTP/1.1 200") || !strings.Contains(said, c.said) {
			t.Errorf("%q: %s", c.head, said)
		}
		if c.said == `"acked"` && strings.Contains(said, "unseen_here") != strings.Contains(c.head, "other") && !strings.Contains(c.head, "node:2") {
			t.Errorf("%q: what is unseen in %s", c.head, said)
		}
		a := wantHit(t, p.data+"/products/1", false)
		if name, _, _ := strings.Cut(c.tags, ":"); name != "X-A" && name != "Cache-Tag" && a.header.Get(name) != "" {
			t.Errorf("a client gets %s: %s", name, a.header.Get(name))
		}
		wantHit(t, p.data+"/other/1", strings.HasPrefix(c.tags, "X-A"))
	}
}

// A URL that has the signs of a pattern in it is purged like any other once they are encoded, and only that one.
func TestPurgeOfWhatLooksLikeAPattern(t *testing.T) {
	o := newOrigin(t, "Cache-Control: max-age=600")
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
	host := strings.TrimPrefix(p.admin, "http://")
	for _, c := range []struct{ cached, purge string }{
		{"/other/a.*", "/other/a.%2A"},
		{"/other/(.*)", "/other/(.%2A)"},
		{"/other/*", "/other/%2A"},
		{"/other/1$", "/other/1%24"},
		{"/other/^1", "/other/%5E1"},
		{"/other/[1]", "/other/%5B1%5D"},
		{"/other/{id}", "/other/%7Bid%7D"},
		{"/other/a|b", "/other/a%7Cb"},
		{"/products/1?page=*", "/products/1?page=%2A"},
		{"/products/1?page=.*a$", "/products/1?page=.%2Aa%24"},
		{"/products/1?page=%2A", "/products/1?page=%2A"},
	} {
		for _, by := range []string{"PURGE", "urls"} {
			isHit := func(target string) bool {
				return strings.Contains(sendRaw(t, p.data, "GET "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"), "Cache-Status: cacheproxy; hit")
			}
			purge := func(target string) string {
				head, body := "PURGE "+target, ""
				if by == "urls" {
					head, body = "POST /purge", fmt.Sprintf(`{"urls":[%q]}`, target)
				}
				said := sendRaw(t, p.admin, fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", head, host, len(body), body))
				return strings.TrimPrefix(said, "HTTP/1.1 ")[:3]
			}
			eventually(t, c.cached+" is answered from a copy", func() bool { return isHit(c.cached) })
			if c.cached != c.purge && (by != "PURGE" || c.cached != "/other/(.*)") { // which is understood, as everything below
				if status := purge(c.cached); status != "400" || !isHit(c.cached) {
					t.Errorf("%s of %s: %s, or the copy is gone", by, c.cached, status)
				}
			}
			eventually(t, "/other/2 is answered from a copy", func() bool { return isHit("/other/2") })
			if status := purge(c.purge); status != "200" || isHit(c.cached) || !isHit("/other/2") {
				t.Errorf("%s of %s: %s, or %s is still a hit, or another copy is gone", by, c.purge, status, c.cached)
			}
		}
	}
}
