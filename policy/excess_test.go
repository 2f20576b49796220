package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

// numbered are so many texts, each once.
func numbered(n int, format string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

// No request makes everything unusable, however much it names: it is refused, or what its route says for that case is used.
func TestEffectsOfTooMuch(t *testing.T) {
	header := func(name string, lines ...string) http.Header { return http.Header{name: lines} }
	long := strings.Repeat("x", maxNameBytes/maxNames)
	otherwise := &Invalidates{Tags: templates(t, "list")}
	for _, c := range []struct {
		name    string
		key     string
		invalid *Invalidates
		uri     string
		header  http.Header
		body    string
		want    string // the excess; else the last member
		fell    bool
	}{
		{name: "as many values of a parameter as may be", key: "k:{query.q}", uri: "/x?" + strings.Join(numbered(256, "q=%d"), "&"), want: "kk:99"},
		{
			name: "too many", key: "k:{query.q}", uri: "/x?" + strings.Join(numbered(257, "q=%d"), "&"),
			want: "more than 256 values of the query parameter q",
		},
		{name: "one value many times", key: "k:{query.q}", uri: "/x?" + strings.Repeat("q=1&", 5000), want: "kk:1"},
		{
			name: "too many of a field", key: "k:{header.X-Region}", uri: "/x", header: header("X-Region", numbered(257, "r%d")...),
			want: "more than 256 values of the header field X-Region",
		},
		{
			name: "too many of a cookie", key: "k:{cookie.c}", uri: "/x", header: header("Cookie", strings.Join(numbered(257, "c=%d"), "; ")),
			want: "more than 256 values of the cookie c",
		},
		{
			name: "too many combinations", key: "k:{query.a}:{query.b}", uri: "/x?" + strings.Join(append(numbered(17, "a=%d"), numbered(16, "b=%d")...), "&"),
			want: "more than 256 combinations of values of the query parameter a and the query parameter b",
		},
		{
			name: "too long together", key: "k:{query.a}:{header.X-Long}", uri: "/x?" + strings.Join(numbered(256, "a=%d"), "&"), header: header("X-Long", long),
			want: "more than 1048576 bytes of names of copies",
		},
		{name: "long", key: "k:{header.X-Long}", uri: "/x", header: header("X-Long", long), want: "kk:" + long},
		{
			name: "too many in the body", invalid: &Invalidates{Keys: templates(t, "k:{body.ids}")}, uri: "/x", body: `{"ids":[` + strings.Join(numbered(257, "%d"), ",") + "]}",
			want: "more than 256 values of ids in the body",
		},
		{
			name: "too many in the body, and the operator has said what then", invalid: &Invalidates{Keys: templates(t, "k:{body.ids}"), Otherwise: otherwise},
			uri: "/x", body: `{"ids":[` + strings.Join(numbered(257, "%d"), ",") + "]}", want: "tlist", fell: true,
		},
		{
			name: "too many of a parameter, and the operator has said what then", invalid: &Invalidates{Tags: templates(t, "t:{query.q}"), Otherwise: otherwise},
			uri: "/x?" + strings.Join(numbered(257, "q=%d"), "&"), want: "more than 256 values of the query parameter q",
		},
		{
			name: "too much in all", invalid: &Invalidates{Tags: templates(t, numbered(17, "t%d:{query.q}")...)}, uri: "/x?" + strings.Join(numbered(256, "q=%d"), "&"),
			want: "more than 4096 names of copies",
		},
		{name: "a body that cannot be read, and nobody has said what then", invalid: &Invalidates{Keys: templates(t, "k:{body.id}")}, uri: "/x", body: "{", want: "rit", fell: true},
		{
			name: "a body that cannot be read, beside what can be named", uri: "/x?q=7", body: "{",
			invalid: &Invalidates{Keys: templates(t, "k:{body.id}"), Tags: templates(t, "t:{query.q}"), Otherwise: &Invalidates{}}, want: "tt:7", fell: true,
		},
		{name: "a value that is not there", invalid: &Invalidates{Keys: templates(t, "k:{body.id}")}, uri: "/x", body: "{}", want: "rit", fell: true},
		{name: "an empty value where a prefix ends", invalid: &Invalidates{Prefixes: templates(t, "/{query.q}")}, uri: "/x?q=", want: "u*/x?q="},
		{name: "an empty value where a prefix ends, otherwise", invalid: &Invalidates{Prefixes: templates(t, "/{query.q}"), Otherwise: otherwise}, uri: "/x?q=", want: "tlist", fell: true},
		{name: "an empty host", invalid: &Invalidates{URLs: templates(t, "http://{header.X-Shop}/a"), Otherwise: otherwise}, uri: "/x", header: header("X-Shop", ""), want: "tlist", fell: true},
		{name: "an empty value of a URL", invalid: &Invalidates{URLs: templates(t, "/all?id={query.q}")}, uri: "/x?q=", want: "u/all?id="},
	} {
		r := newRoute(t, "it", "POST /x")
		if r.Invalidates = c.invalid; c.key != "" {
			r.Key = mustTemplate(t, c.key)
		}
		u := target(t, c.uri)
		m, _ := mustTable(t, r).Match("POST", u, nil, netip.Addr{})
		got, fallback, excess := r.Effects(&m, u, u.Query, c.header, []byte(c.body))
		text := ""
		switch {
		case excess != nil && len(got) > 0:
			t.Errorf("%s: too much, and members all the same: %s", c.name, spell(got))
		case excess != nil:
			text = excess.Error()
		case slices.Contains(got, All):
			t.Errorf("%s: everything", c.name)
		default:
			text = spell(got[len(got)-1:])
		}
		if text != c.want || fallback != c.fell {
			t.Errorf("%s: %.200q, fallback %v; want %.200q, %v", c.name, text, fallback, c.want, c.fell)
		}
	}
}

// A copy whose names are too many to be known is not stored, and no name is made of what is too much.
func TestMembersOfTooMuch(t *testing.T) {
	for _, change := range []func(r *Route){
		func(r *Route) { r.Key = mustTemplate(t, "k:{query.q}") },
		func(r *Route) { r.Tags = templates(t, "t:{query.q}") },
	} {
		r := newRoute(t, "it", "GET /x")
		change(r)
		u := target(t, "/x?"+strings.Join(numbered(257, "q=%d"), "&"))
		m, _ := mustTable(t, r).Match("GET", u, nil, netip.Addr{})
		if got := r.Members(&m, u, u.Query, nil, nil); len(got) <= MaxMembers || !slices.Contains(got, All) {
			t.Errorf("%d members, want more than a copy may have, everything among them", len(got))
		}
	}
}

// Values are counted as they come, and no more of them are looked at than show that there are too many.
func TestTooManyValuesAreNotRead(t *testing.T) {
	many := numbered(60000, "%d")
	doc, err := parseDocument([]byte(`{"a":[{"b":[` + strings.Join(many, ",") + `]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(yield func(string) bool){
		"body":   func(yield func(string) bool) { err = doc.values("a.#.b", yield) },
		"query":  httpcache.QueryValues("q="+strings.Join(many, "&q="), "q"),
		"cookie": httpcache.CookieValues(http.Header{"Cookie": {"q=" + strings.Join(many, "; q=")}}, "q"),
	} {
		var s valueSet
		n := 0
		read(func(value string) bool { n++; return s.add(value) })
		if n != maxNames+1 || !s.over || len(s.list) != maxNames {
			t.Errorf("%s: %d values read, %d held, too many: %v", name, n, len(s.list), s.over)
		}
	}
	if !errors.Is(err, errEnough) {
		t.Errorf("error %v", err)
	}
}
