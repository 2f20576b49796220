package proxy

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// fate says what became of a field on the way through the proxy, given what came out where value went in, and where nothing did.
func fate(value string, out, without []string) string {
	with := strings.Join(out, ", ")
	switch {
	case with == value && len(without) == 0:
		return "kept"
	case with == value:
		return "kept, else added"
	case len(out) == 0 && len(without) == 0:
		return "removed"
	case len(out) == 0:
		return "removed, else added"
	case strings.Contains(with, value):
		return "extended"
	}
	return "replaced"
}

// wayTable is a table of docs/caching.md, by the heading of its first column: for each field what its other cells say, up to a semicolon.
func wayTable(t *testing.T, heading string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/caching.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| "+heading+" |")
	if !found {
		t.Fatalf("docs/caching.md has no table of %q", heading)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string][]string{}
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i], _, _ = strings.Cut(cells[i], ";")
			cells[i] = strings.TrimSpace(cells[i])
		}
		for name := range strings.SplitSeq(cells[0], ",") {
			rows[strings.Trim(strings.TrimSpace(name), "`")] = cells[1:]
		}
	}
	if len(rows) < 8 {
		t.Fatalf("the table of %q has %d rows", heading, len(rows))
	}
	return rows
}

// The tables of the documents say what is added and taken off on the way, for clients that are not trusted: each row is what happens.
func TestFieldsOnTheWay(t *testing.T) {
	values := map[string]string{
		"Via": "1.0 client", "Forwarded": "for=203.0.113.9", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "other.example", "X-Forwarded-Proto": "https",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Te": "gzip", "Cache-Control": "max-age=61", "If-None-Match": `"x"`,
		"Accept": "a/b, c/d;q=0.5", "Accept-Language": "de, en;q=0.5", "Age": "7", "Cache-Status": "before; hit", "Date": "Sat, 01 Jan 2000 00:00:00 GMT", "Etag": `"v"`, "Vary": "Accept",
		"Surrogate-Control": "max-age=62", "CDN-Cache-Control": "max-age=63", "Content-Type": "a/b", "Surrogate-Capability": `client="Surrogate/1.0"`,
	}
	value := func(name string) string {
		if v := values[name]; v != "" {
			return v
		}
		return "value"
	}
	var mu sync.Mutex
	var seen http.Header     // by the origin
	var says = http.Header{} // the origin's answer
	origin := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = r.Header.Clone()
		w.Header().Set("Content-Type", "text/plain")
		for name, lines := range says {
			w.Header()[name] = lines
		}
		w.Write([]byte("body"))
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.Targets = []string{"Cdn-Cache-Control", httpcache.TargetSurrogate} }, "/")
	inBubble(t, origin, rigOptions{}, route, func(b *bubble) {
		set := func(h http.Header) { mu.Lock(); says = h; mu.Unlock() }
		asked := func(header ...string) http.Header {
			b.invalidate()
			b.do("GET", "/a", header...)
			mu.Lock()
			defer mu.Unlock()
			return seen
		}
		for name, want := range wayTable(t, "Request") {
			key := http.CanonicalHeaderKey(name)
			for i, pass := range [][]string{nil, {"Range", "items=1"}} {
				set(http.Header{"Cache-Control": {"no-store"}})
				without := asked(pass...)[key]
				with := asked(append([]string{name, value(name)}, pass...)...)[key]
				if got := fate(value(name), with, without); i >= len(want) || got != want[i] {
					t.Errorf("request %s, %v: %s: %q, without it %q; documented: %q", name, pass, got, with, without, want)
				}
			}
		}
		if agent := asked()["User-Agent"]; len(agent) != 1 || agent[0] != "cacheproxy" {
			t.Errorf("a fetch says User-Agent %q", agent)
		}
		for name, want := range wayTable(t, "Answer") {
			key := http.CanonicalHeaderKey(name)
			for i, how := range []string{"hit", "pass"} {
				answered := func(h http.Header) []string {
					if h["Cache-Control"] == nil {
						h["Cache-Control"] = []string{"max-age=60"}
					}
					set(h)
					if how == "pass" {
						return b.do("GET", "/a", "Range", "items=1").header[key]
					}
					target := "/" + name + strings.Repeat("x", len(h))
					b.do("GET", target)
					b.pass(time.Second)
					a := b.do("GET", target)
					if !strings.Contains(strings.Join(a.header["Cache-Status"], ","), "cacheproxy; hit") {
						t.Errorf("%s: no hit: %v", name, a.header)
					}
					return a.header[key]
				}
				without := answered(http.Header{})
				with := answered(http.Header{key: {value(name)}})
				if got := fate(value(name), with, without); i >= len(want) || got != want[i] {
					t.Errorf("answer %s, %s: %s: %q, without it %q; documented: %q", name, how, got, with, without, want)
				}
			}
		}
	})
}
