package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"

	"github.com/jackc/pgx/v5"
)

const twoAPIs = `
upstreams:
  - {name: shop, url: "http://127.0.0.1:1", max_in_flight: 8, settle: 1s}
  - {name: sales, url: "http://127.0.0.1:2", max_in_flight: 8, settle: 2s}
routes:
  - {name: product, match: "GET /products/{slug}", upstream: shop, policy: cache-aside, ttl: 1m}
  - {name: sales, match: "/sales/{id}", upstream: sales, policy: refresh-ahead, ttl: 1m}
  - {name: all, match: "/", upstream: shop, policy: bypass}
`

// Whatever a feed can name for a copy of its routes is covered by the tag of the table: each of these copies carries it, and no other.
func TestFedCopiesCarryTheTable(t *testing.T) {
	s := mustLoad(t, `
postgres:
  url: postgres://127.0.0.1/shop
  feeds:
    - {table: product, tags: ["product:{id}"]}
    - {table: '"a.b"."{c}"', urls: ["/sales/{id}"], upstream: sales}
`+twoAPIs)
	fed := []string{}
	for _, m := range s.Postgres.Mappings {
		fed = append(fed, fmt.Sprint(m.Fed, m.Settle))
		for _, path := range []string{"/products/a", "/sales/a"} {
			target, err := httpcache.ParseTarget("http", "shop.example", path)
			if err != nil {
				t.Fatal(err)
			}
			match, _ := s.Table.Match("GET", target, nil, netip.Addr{})
			members := match.Route.Members(&match, target, "", nil, nil)
			if got, want := slices.Contains(members, m.Whole()), slices.Contains(m.Fed, match.Route.Name); got != want {
				t.Errorf("%s: a copy of %s carries it: %v, want %v", m.Whole(), path, got, want)
			}
		}
		if m.Routes != s.Table {
			t.Error("URLs are not named as the routes have them")
		}
	}
	if want := []string{"[product sales] 2s", "[sales] 2s"}; !slices.Equal(fed, want) {
		t.Errorf("%q, want %q", fed, want)
	}
	if s.Postgres.Mappings[1].ID[:len("a.b.{c}#")] != "a.b.{c}#" {
		t.Error(s.Postgres.Mappings[1].ID)
	}
	// Copies from before the feed lack the tag, and are used no more.
	before := mustLoad(t, twoAPIs)
	if before.Route("product").Fingerprint == s.Route("product").Fingerprint || before.Postgres != nil {
		t.Error("copies from before there was a feed go on")
	}
}

func TestFeedNames(t *testing.T) {
	s := mustLoad(t, `
postgres:
  url: "host=/var/run/postgresql dbname=shop user=app"
  feeds:
    - {table: product, on: [delete, insert], keys: ["k:{id}"], tags: ["{slug}:{id}", "list"], urls: ["https://{host}/{slug}"], prefixes: ["/{brand}"]}
`+oneUpstream)
	m := s.Postgres.Mappings[0]
	if got := fmt.Sprint(m.Schema+" "+m.Table, " ", m.On, m.Columns, m.Watched, m.Lossy, m.Replicated, m.Line); got != "public product [insert delete] [id slug host brand] [] false false 5" {
		t.Error(got)
	}
	if s.Postgres.Shown() != "postgres://app@/var/run/postgresql/shop" || s.Postgres.Conn.DefaultQueryExecMode != pgx.QueryExecModeExec {
		t.Error(s.Postgres.Shown(), s.Postgres.Conn.DefaultQueryExecMode)
	}
	if m.Settle != 0 {
		t.Error(m.Settle)
	}
}

func TestSplitTable(t *testing.T) {
	for text, want := range map[string]string{
		"product": "public|product", "shop.product": "shop|product", `"a.b".c`: "a.b|c", `a."b""c"`: `a|b"c`, `"x"`: "public|x", "Größe.T": "Größe|T", `a."b"`: "a|b", "a b.c d": "a b|c d",
		"": "", ".": "", "a.": "", ".a": "", "a.b.c": "", `"a`: "", `"a"b`: "", `""`: "", `a.""`: "", strings.Repeat("x", 64): "", "a\x00": "", strings.Repeat("x", 63): "public|" + strings.Repeat("x", 63),
	} {
		schema, table, ok := splitTable(text)
		if got := schema + "|" + table; ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s %v, want %s", text, got, ok, want)
		}
	}
}

// What can have no trigger, or no name in a template, is said to.
func TestFeedRefused(t *testing.T) {
	for feed, says := range map[string]string{
		`{table: cacheproxy.outbox, tags: [t]}`:                   "is in schema cacheproxy",
		`{table: '"pg_catalog".pg_class', tags: [t]}`:             "is in schema pg_catalog",
		`{table: information_schema.sql_parts, tags: [t]}`:        "is in schema information_schema",
		`{table: product, tags: ["t:{order no}"]}`:                "letters, digits and _",
		`{table: product, tags: ["t:{price-net}"], on: [insert]}`: "letters, digits and _",
	} {
		_, err := load1(t, "postgres:\n  url: postgres://127.0.0.1/shop\n  feeds: ["+feed+"]\n"+oneUpstream)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", feed, err)
		}
	}
}

// A password beside the URL wins, and none is ever told.
func TestPostgresSecrets(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@h:99999/d", "postgres://u:hunter2@[::1/d", "host=h password='hunter2", "postgres://u:hunter2@h/d?sslmode=hunter2", "hunter2"} {
		_, err := load1(t, "postgres:\n  url: \""+url+"\"\n  feeds: [{table: a, tags: [b]}]\n"+oneUpstream)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	const several = "valkey: {url: \"redis://127.0.0.1:6379\"}\n"
	s := mustLoad(t, several+"postgres:\n  url: postgres://u:hunter2@h1:1,h2/d?sslmode=prefer&target_session_attrs=read-write\n  password: hunter2-too\n  feeds: [{table: a, tags: [b]}]\n"+twoAPIs)
	if s.Postgres.Conn.Password != "hunter2-too" || s.Postgres.Shown() != "postgres://u@h1:1,h2:5432/d" || s.Postgres.Conn.ValidateConnect == nil {
		t.Error(s.Postgres.Shown(), s.Postgres.Conn.Password)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].String(), "h1 prove who it is") {
		t.Error(s.Warnings)
	}
	for _, safe := range []string{"postgres://127.0.0.1/d", "postgres:///d?host=/run", "postgres://[::1],localhost/d"} {
		if s := mustLoad(t, several+"postgres:\n  url: \""+safe+"\"\n  feeds: [{table: a, tags: [b]}]\n"+twoAPIs); len(s.Warnings) != 0 {
			t.Error(safe, s.Warnings)
		}
	}
}

// A feed without a fleet is right for one instance alone.
func TestLoneFeed(t *testing.T) {
	s := mustLoad(t, "postgres:\n  url: postgres://127.0.0.1/d\n  feeds: [{table: a, tags: [b]}]\n"+twoAPIs)
	if len(s.Warnings) != 1 || s.Warnings[0].Path != "postgres.feeds" || !strings.Contains(s.Warnings[0].String(), "one instance alone") {
		t.Error(s.Warnings)
	}
}
