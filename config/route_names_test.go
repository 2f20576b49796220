package config

import (
	"strings"
	"testing"
)

// Keys that no copy can have are warned about where they stand, and no others.
func TestWarningsOfKeysThatNoRouteHas(t *testing.T) {
	const (
		stock     = "  - {name: stock, match: \"GET /stock/{sku}\", policy: cache-aside, ttl: 1m, key: \"v1:stock:{sku}\"}\n"
		warehouse = "  - {name: warehouse, match: \"GET /warehouses/{id}\", policy: cache-aside, ttl: 1m, key: \"v1:warehouse:{id}\"}\n"
		keyless   = "  - {name: keyless, match: \"GET /keyless/{id}\", policy: cache-aside, ttl: 1m}\n"
		queued    = "  - {name: queued, match: \"PUT /queued/{id}\", policy: bypass, serialize_writes: true, write_key: \"queue:{id}\"}\n"
	)
	write := func(names string) string {
		return "  - {name: write, match: \"POST /write/{sku}/{kind}\", policy: bypass, invalidates: " + names + "}\n"
	}
	feed := func(keys string) string {
		return "valkey: {url: \"valkey://127.0.0.1:6379\"}\npostgres: {url: \"postgres://a:b@127.0.0.1/c\", feeds: [{table: stock, keys: [" + keys + "]}]}\n"
	}
	for name, c := range map[string]struct{ routes, feeds, want string }{
		"equal":             {stock + write(`{keys: ["v1:stock:{sku}"]}`), "", ""},
		"another wildcard":  {stock + write(`{keys: ["v1:{kind}:{sku}"]}`), "", ""},
		"of a body":         {stock + write(`{keys: ["v1:stock:{body.#.sku}"], otherwise: {routes: [stock]}}`), "", ""},
		"literal":           {stock + write(`{keys: ["v1:stock:7"]}`), "", ""},
		"of a queue":        {stock + queued + write(`{keys: ["queue:{sku}"]}`), "", ""},
		"nothing is cached": {write(`{keys: ["v1:stok:{sku}"]}`), "", ""},
		"tags":              {stock + write(`{tags: ["v1:stok:{sku}"]}`), "", ""},
		"a row":             {stock, feed(`"v1:stock:{sku}"`), ""},
		"version": {warehouse + stock + write(`{keys: ["v2:stock:{sku}"]}`), "",
			"routes[2].invalidates.keys[0]: no route has a key like v2:stock:{sku}, so that this finds no copy; the nearest is v1:stock:{sku} (route stock)"},
		"one of two": {keyless + stock + warehouse + write(`{keys: ["v1:stock:{sku}", "v1:warehause:{kind}"]}`), "",
			"routes[3].invalidates.keys[1]: no route has a key like v1:warehause:{kind}, so that this finds no copy; the nearest is v1:warehouse:{id} (route warehouse)"},
		"too many parts": {stock + write(`{keys: ["v1:stock:{kind}:{sku}"]}`), "",
			"routes[1].invalidates.keys[0]: no route has a key like v1:stock:{kind}:{sku}, so that this finds no copy; the nearest is v1:stock:{sku} (route stock); a colon or a slash in a value is percent-encoded, so that it begins no other part of a name"},
		"otherwise": {stock + write(`{keys: ["v1:stock:{body.sku}"], otherwise: {keys: ["v1:stok:{sku}"]}}`), "",
			"routes[1].invalidates.otherwise.keys[0]: no route has a key like v1:stok:{sku}, so that this finds no copy; the nearest is v1:stock:{sku} (route stock)"},
		"no key": {keyless + write(`{keys: ["v1:stock:{sku}"]}`), "",
			"routes[1].invalidates.keys[0]: no route has a key, so that this finds no copy; write key: v1:stock:{sku} at the route whose copies are meant"},
		"a row's": {stock, feed(`"v1:stock:{sku}", "v1:stok:{sku}"`),
			"postgres.feeds[0].keys[1]: no route has a key like v1:stok:{sku}, so that this finds no copy; the nearest is v1:stock:{sku} (route stock)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustLoad(t, c.feeds+"upstreams: [{name: api, url: \"http://127.0.0.1:9000\", max_in_flight: 1}]\nroutes:\n"+c.routes)
			got := s.Warnings.Error()
			if _, after, _ := strings.Cut(got, ": "); after != c.want || c.want != "" && !strings.HasPrefix(got, "cacheproxy.yaml:") {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
