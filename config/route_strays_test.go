package config

import (
	"strings"
	"testing"
)

// Paths whose other methods another upstream gets are warned about, once for each upstream and with a route that does away with it.
func TestWarningsOfMethodsThatGoAstray(t *testing.T) {
	route := func(name, upstream, match string) string {
		return "  - {name: " + name + ", upstream: " + upstream + ", policy: bypass, match: [\"" + strings.ReplaceAll(match, ", ", "\", \"") + "\"]}\n"
	}
	stray := func(at, to, match string) string {
		return at + ".match: OPTIONS, and every other method that no route has for these paths, goes to upstream " + to +
			" and not to inv; write a route {name: inv-others, match: [" + match + "], policy: bypass, upstream: inv}, or one for all paths of inv"
	}
	stock := route("stock", "inv", "GET /stock/{sku}")
	for name, c := range map[string]struct{ routes, want string }{
		"one method":           {stock, stray("routes[0]", "shop", `"/stock/{sku}"`)},
		"of the first":         {route("product", "shop", "GET /products/{id}"), ""},
		"all methods":          {route("stock", "inv", "/stock/"), ""},
		"covered":              {stock + route("others", "inv", "/stock/"), ""},
		"covered as suggested": {stock + route("others", "inv", "/stock/{sku}"), ""},
		"covered for a part":   {stock + route("others", "inv", "/stock/{sku}/parts"), stray("routes[0]", "shop", `"/stock/{sku}"`)},
		"covered for a host":   {stock + route("others", "inv", "inv.example/"), stray("routes[0]", "shop", `"/stock/{sku}"`)},
		"of a host":            {route("stock", "inv", "GET inv.example/stock") + route("rest", "inv", "inv.example/"), ""},
		"of a host, alone":     {route("stock", "inv", "GET inv.example/stock"), stray("routes[0]", "shop", `"inv.example/stock"`)},
		"an own rest":          {stock + route("rest", "inv", "/"), ""},
		"another's rest":       {stock + route("rest", "web", "/"), stray("routes[0]", "web", `"/stock/{sku}"`)},
		"the first one's rest": {route("rest", "shop", "/{rest...}") + stock, stray("routes[1]", "shop", `"/stock/{sku}"`)},
		"OPTIONS":              {route("stock", "inv", "GET /stock/{sku}, OPTIONS /stock/"), ""},
		"shared out":           {stock + route("writes", "shop", "POST /stock/{sku}"), ""},
		"shared out, the rest": {stock + route("rest", "shop", "/stock/"), ""},
		"no room for all":      {stock + route("rest", "shop", "GET /"), stray("routes[0]", "shop", `"OPTIONS /stock/{sku}"`)},
		"as suggested":         {stock + route("others", "inv", "OPTIONS /stock/{sku}") + route("rest", "shop", "GET /"), ""},
		"several": {stock + route("bulk", "inv", "POST /stock/bulk, PUT /stock/{id}, GET /warehouses/{id}/stock"),
			stray("routes[0]", "shop", `"/stock/{sku}", "/warehouses/{id}/stock"`)},
	} {
		t.Run(name, func(t *testing.T) {
			upstreams := "upstreams: ["
			for _, name := range []string{"shop", "inv", "web"} {
				upstreams += "{name: " + name + ", url: \"http://127.0.0.1:9000\", max_in_flight: 1}, "
			}
			got := mustLoad(t, upstreams+"]\nroutes:\n"+c.routes).Warnings.Error()
			if _, after, _ := strings.Cut(got, ": "); after != c.want || c.want != "" && !strings.HasPrefix(got, "cacheproxy.yaml:") {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
