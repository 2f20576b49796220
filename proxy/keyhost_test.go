package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/writebehind"
)

// Hosts that an API may take for the same are one in keys (RFC 3986 §6.2.2, §6.2.3), also as values of {host} in a write_key.
func TestKeysOfOneHost(t *testing.T) {
	of := func(key string, host, uri string) string {
		tpl := policy.Template{}
		if key != "" {
			tpl = template(t, key)
		}
		target, err := httpcache.ParseTarget("http", host, uri)
		if err != nil {
			t.Fatal(err)
		}
		return keyName(tpl, true, &policy.Match{}, target)
	}
	for _, key := range []string{"", "site:{host}"} {
		for name, hosts := range map[string][]string{
			"a name": {"shop.example", "SHOP.example", "shop.example.", "shop.example:80", "shop.example:080", "Shop.Example.:00080", "shop%2eexample", "sho%50.example", "shop.example%2E", "shop.example:27413"},
			"IPv6":   {"[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]:080", "[::1%25lo]"},
			"IPv4":   {"127.0.0.1", "127.0.0.1:8080", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]"},
		} {
			for _, host := range hosts {
				if got, want := of(key, host, "/stock/5"), of(key, hosts[0], "/stock/5"); got != want {
					t.Errorf("key %q, %s: %s is %q, want %q", key, name, host, got, want)
				}
			}
			for _, other := range []string{"other.example", "[::2]", "127.0.0.2"} {
				if of(key, hosts[0], "/stock/5") == of(key, other, "/stock/5") {
					t.Errorf("key %q: %s is %s, too", key, name, other)
				}
			}
		}
		if of(key, "zzz", "http://SHOP.example/stock/5") != of(key, "shop.example", "/stock/5") {
			t.Errorf("key %q: the absolute-form has a key of its own", key)
		}
	}
}

// The same over the wire: writes and reads of one host are of one key, also where the route is for one host.
func TestWritesOfOneHostMeet(t *testing.T) {
	b := newBehindRig(t, untouched(t), func(r *writebehind.Rules, _ *rigOptions) { r.ReadPending = writebehind.Overlay })
	do := func(method, host, body string) answer {
		req, err := http.NewRequest(method, b.front.URL+"/stock/5", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Authorization", "Bearer t")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		read, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{status: res.StatusCode, header: res.Header, body: string(read)}
	}
	do("PUT", "shop.example", "old")
	key := b.counter.last().Key
	if do("PUT", "SHOP.example", "new"); b.counter.last().Key != key {
		t.Error("a write overtakes one to the same host, spelt otherwise")
	}
	if a := do("GET", "shop.example", ""); a.status != 200 || a.body != "new" {
		t.Errorf("a read of the same host gets %d %q", a.status, a.body)
	}
	d, err := parseDeferring(`{"name":"sites","patterns":["PUT shop.example/carts/{id}"],"keyed":true,"status":"/_w/"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"SHOP.EXAMPLE", "shop%2eexample", "shop.example:99"} {
		if names := d.names(httpcache.Target{Scheme: "http", Host: host, Path: "/carts/1"}); len(names) != 1 || names[0] != "ushop.example/carts/1" {
			t.Errorf("a write to %s waits behind %q", host, names)
		}
	}
}
