package policy

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

// keyReader takes a storage key apart again, which proves that it is injective.
type keyReader struct {
	key []byte
	bad bool
}

func (r *keyReader) number() uint64 {
	n, size := binary.Uvarint(r.key)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.key = r.key[size:]
	return n
}

func (r *keyReader) field() string {
	n := r.number()
	if r.bad || n > uint64(len(r.key)) {
		r.bad = true
		return ""
	}
	s := string(r.key[:n])
	r.key = r.key[n:]
	return s
}

func (r *keyReader) flag() bool { return r.number() == 1 }

// decodeKey writes down everything that a key holds.
func decodeKey(t testing.TB, r *Route, key []byte) string {
	t.Helper()
	in := keyReader{key: key[8:]}
	out := []string{fmt.Sprint(binary.BigEndian.Uint64(key))}
	add := func(s string) { out = append(out, fmt.Sprintf("%q", s)) }
	for range 3 {
		add(in.field())
	}
	out = append(out, fmt.Sprint(in.flag()))
	add(in.field())
	for range r.Headers {
		add(in.field())
		n := in.number()
		out = append(out, fmt.Sprint(n))
		for i := uint64(0); i < n && !in.bad; i++ {
			add(in.field())
		}
	}
	for range r.Cookies {
		add(in.field())
		for in.flag() && !in.bad {
			add(in.field())
		}
		out = append(out, ".")
	}
	if in.bad || len(in.key) != 0 {
		t.Fatalf("key %q of %s cannot be read back", key, r.Name)
	}
	return strings.Join(out, " ")
}

// spellKey writes down what the key of a request has to hold.
func spellKey(r *Route, u httpcache.Target, host, query string, h http.Header) string {
	if r.Host.Literal != "" {
		host = ""
	}
	u = u.WithQuery(query)
	out := fmt.Sprintf("%d %q %q %q %t %q", r.Fingerprint, u.Scheme, host, u.Path, u.HasQuery, u.Query)
	for _, name := range r.Headers {
		out += fmt.Sprintf(" %q %d", name, len(h[name]))
		for _, v := range h[name] {
			out += fmt.Sprintf(" %q", v)
		}
	}
	for _, name := range r.Cookies {
		out += fmt.Sprintf(" %q", name)
		for v := range httpcache.CookieValues(h, name) {
			out += fmt.Sprintf(" %q", v)
		}
		out += " ."
	}
	return out
}

func keyOf(r *Route, u httpcache.Target, query string, h http.Header) string {
	return string(r.AppendKey(nil, u, u.Host, query, h))
}

func TestKeysDiffer(t *testing.T) {
	r := &Route{Name: "it", Fingerprint: 7, Headers: []string{"Accept", "X-Tenant"}, Cookies: []string{"ab", "region"}}
	base := httpcache.Target{Scheme: "http", Host: "a.example", Path: "/p/a/b", Query: "x=1&y=2", HasQuery: true}
	with := func(change func(*httpcache.Target)) httpcache.Target { u := base; change(&u); return u }
	requests := []struct {
		name   string
		target httpcache.Target
		header http.Header
	}{
		{"base", base, nil},
		{"escaped slash", with(func(u *httpcache.Target) { u.Path = "/p/a%2Fb" }), nil},
		{"escaped slash in lower case", with(func(u *httpcache.Target) { u.Path = "/p/a%2fb" }), nil},
		{"trailing slash", with(func(u *httpcache.Target) { u.Path = "/p/a/b/" }), nil},
		{"query moved into the path", with(func(u *httpcache.Target) { u.Path, u.Query = "/p/a/b?x=1", "y=2" }), nil},
		{"no query", with(func(u *httpcache.Target) { u.Query, u.HasQuery = "", false }), nil},
		{"empty query", with(func(u *httpcache.Target) { u.Query = "" }), nil},
		{"other order", with(func(u *httpcache.Target) { u.Query = "y=2&x=1" }), nil},
		{"parameter twice", with(func(u *httpcache.Target) { u.Query = "x=1&x=1&y=2" }), nil},
		{"parameter twice, other order", with(func(u *httpcache.Target) { u.Query = "x=2&x=1" }), nil},
		{"parameter twice, one order", with(func(u *httpcache.Target) { u.Query = "x=1&x=2" }), nil},
		{"host", with(func(u *httpcache.Target) { u.Host = "b.example" }), nil},
		{"port", with(func(u *httpcache.Target) { u.Host = "a.example:81" }), nil},
		{"host runs into the path", with(func(u *httpcache.Target) { u.Host, u.Path = "a.example/p", "/a/b" }), nil},
		{"scheme", with(func(u *httpcache.Target) { u.Scheme = "https" }), nil},
		{"header", base, http.Header{"Accept": {"x"}}},
		{"empty header", base, http.Header{"Accept": {""}}},
		{"header of another name", base, http.Header{"X-Tenant": {"x"}}},
		{"header twice", base, http.Header{"Accept": {"x", "y"}}},
		{"header joined", base, http.Header{"Accept": {"x, y"}}},
		{"header split elsewhere", base, http.Header{"Accept": {"xy", ""}}},
		{"cookie", base, http.Header{"Cookie": {"region=eu"}}},
		{"cookie of another name", base, http.Header{"Cookie": {"ab=eu"}}},
		{"empty cookie", base, http.Header{"Cookie": {"region="}}},
		{"cookie twice", base, http.Header{"Cookie": {"region=eu; region=us"}}},
		{"cookie twice, other order", base, http.Header{"Cookie": {"region=us", "region=eu"}}},
		{"cookie quoted", base, http.Header{"Cookie": {`region="eu"`}}},
	}
	seen := map[string]string{}
	for _, c := range requests {
		key := keyOf(r, c.target, c.target.Query, c.header)
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key", c.name, other)
		}
		seen[key] = c.name
	}
}

func TestKeysThatAreTheSame(t *testing.T) {
	literal := &Route{Host: HostRule{Literal: "backend"}, Cookies: []string{"region"}}
	a, b := target(t, "/p?utm=1"), target(t, "/p")
	b.Host = "other.example"
	if keyOf(literal, a, "", nil) != keyOf(literal, b, "", nil) {
		t.Error("a host that is not forwarded, or a dropped parameter, is in the key")
	}
	other := http.Header{"Cookie": {"session=1; region=eu; x"}, "Accept": {"y"}}
	if keyOf(literal, a, "", http.Header{"Cookie": {"region=eu"}}) != keyOf(literal, a, "", other) {
		t.Error("an undeclared cookie or field is in the key")
	}
	if keyOf(literal, a, "", nil) == keyOf(&Route{Fingerprint: 1, Host: literal.Host, Cookies: literal.Cookies}, a, "", nil) {
		t.Error("the fingerprint is not in the key")
	}
}

func TestAppendKeyDoesNotAllocate(t *testing.T) {
	r := &Route{Headers: []string{"Accept"}, Cookies: []string{"region"}}
	h := http.Header{"Accept": {"a", "b"}, "Cookie": {"x=1; region=eu; region=us"}}
	u := target(t, "/products/17?page=2")
	dst := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { dst = r.AppendKey(dst[:0], u, u.Host, u.Query, h) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzKey(f *testing.F) {
	f.Add("http", "a.example", "/p%2Fq", "x=1&x=2", true, "gzip", "region=eu; a=b", uint8(0))
	f.Add("https", "", "/", "", true, "\x00\x01", "region=\"a; region=b\"; region", uint8(1))
	f.Add("", "\x01/", "/\x80\xff", "?", false, "", ";;= ;region=", uint8(2))
	f.Fuzz(func(t *testing.T, scheme, host, path, query string, hasQuery bool, accept, cookie string, kind uint8) {
		r := &Route{Fingerprint: uint64(kind) << 50, Headers: []string{"Accept", "Dnt"}, Cookies: []string{"a", "region"}}
		if kind%3 == 1 {
			r.Host.Literal = "backend"
		}
		h := http.Header{"Accept": strings.Split(accept, ","), "Cookie": {cookie, "a=1"}}
		u := httpcache.Target{Scheme: scheme, Host: host, Path: path, Query: query, HasQuery: hasQuery}
		key := r.AppendKey(nil, u, host, query, h)
		if got, want := decodeKey(t, r, key), spellKey(r, u, host, query, h); got != want {
			t.Fatalf("the key holds %s, want %s", got, want)
		}
	})
}
