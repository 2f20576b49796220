package httpcache

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		name, host, uri string
		want            Target
	}{
		{"RFC 9112 §3.2.1 origin-form", "a.example", "/p%2Fq?x=%41", Target{"http", "a.example", "/p%2Fq", "x=%41", true}},
		{"no query", "a.example", "/p", Target{"http", "a.example", "/p", "", false}},
		{"empty query", "a.example", "/p?", Target{"http", "a.example", "/p", "", true}},
		{"second question mark", "a.example", "/p?a?b", Target{"http", "a.example", "/p", "a?b", true}},
		{"not an authority", "a.example", "//b.example/p", Target{"http", "a.example", "//b.example/p", "", false}},
		{"RFC 9112 §3.2.2 the host of the URI wins", "a.example", "http://B.example:80/p?q", Target{"http", "B.example", "/p", "q", true}},
		{"the scheme of the URI is not believed", "a.example", "HTTPS://b.example", Target{"http", "b.example", "/", "", false}},
		{"RFC 9110 §4.2.3 empty path", "a.example", "http://b.example?q", Target{"http", "b.example", "/", "q", true}},
		{"RFC 9112 §3.2.4 asterisk-form", "a.example", "*", Target{"http", "a.example", "*", "", false}},
	} {
		got, err := ParseTarget("http", c.host, c.uri)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	for _, uri := range []string{"", "a.example:443", "ftp://a.example/", "http:///p", "http://u@a.example/", "/a b", "/a\n", "/a\x7f", "p", "?q"} {
		if got, err := ParseTarget("http", "a.example", uri); err == nil {
			t.Errorf("%q: %+v, want an error", uri, got)
		}
	}
}

// RFC 9110 §7.2: Host is uri-host [ ":" port ].
func TestHostOfTarget(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "a.example": true, "A.example:8080": true, "a_b.example": true, "10.0.0.1:1": true, "[::1]": true, "[::1]:80": true,
		"xn--bcher-kva.example": true, "a.example:": true, "a.example.": true, "[fe80::1%25eth0]:80": true,
		"a:b": false, "a:99999999": false, "a:65536": false, "a:65535": true, "[::1": false, "[": false, "[]": false, "[1.2.3.4]": false, "[a.example]": false, "[1]": false, "[::1::]": false, "[:::1]": false, "[fe80::1%]": false, "[v1.a:b]": true, "[v.a]": false, "[vx.a]": false, "[v1]": false, "[::ffff:1.2.3.4]": true, "[::1]x": false, ".": false, "..": false, "a..": false, ".:80": false, ":80": false, "a:1:2": false,
		`a"><script>`: false, "a/b": false, `a\b`: false, "a b": false, "a%zz": false, "a%4": false, "a%": false, "a%4g": false, "%41.example%2D": true, "a@b": false, "a?b": false, "a#b": false, "a\x00": false, "b\u00fccher": false, "a|b": false, "a{b}": false,
	} {
		if _, err := ParseTarget("http", host, "/"); (err == nil) != want {
			t.Errorf("Host %q: %v", host, err)
		}
		if _, err := ParseTarget("http", "a.example", "http://"+host+"/"); host != "" && !strings.ContainsAny(host, "/?#") && (err == nil) != want {
			t.Errorf("http://%s/: %v", host, err)
		}
	}
}

// A host has one form: without the dot of the root (RFC 1034 §3.1) and the port that the scheme has anyway (RFC 9110 §4.2.3).
func TestOneHost(t *testing.T) {
	for _, c := range []struct{ scheme, host, want string }{
		{"http", "a.example", "a.example"}, {"http", "a.example.", "a.example"}, {"http", "a.example:80", "a.example"}, {"http", "a.example.:80", "a.example"},
		{"http", "a.example:", "a.example"}, {"http", "a.example:443", "a.example:443"}, {"http", "a.example.:8080", "a.example:8080"},
		{"https", "a.example:443", "a.example"}, {"https", "a.example:80", "a.example:80"}, {"http", "[::1]:80", "[::1]"}, {"http", "[::1]:81", "[::1]:81"}, {"http", "", ""},
	} {
		field, err := ParseTarget(c.scheme, c.host, "/")
		if err != nil || field.Host != c.want {
			t.Errorf("%s, Host %q: %q, %v; want %q", c.scheme, c.host, field.Host, err, c.want)
		}
		if c.host == "" {
			continue
		}
		if uri, err := ParseTarget(c.scheme, "b", "http://"+c.host+"/"); err != nil || uri.Host != c.want {
			t.Errorf("%s, in the URI %q: %q, %v; want %q", c.scheme, c.host, uri.Host, err, c.want)
		}
		if u, ok := ResolveReference(Target{Scheme: c.scheme, Host: c.want, Path: "/"}, c.scheme+"://"+c.host+"/x"); !ok || u.Path != "/x" {
			t.Errorf("%s://%s is not of the origin %s", c.scheme, c.host, c.want)
		}
	}
}

func TestTargetString(t *testing.T) {
	for _, uri := range []string{"/", "/p?", "/p%2f%41?a=%61&&b", "*", "/p?a?b"} {
		if got := target(t, uri).String(); got != uri {
			t.Errorf("%q becomes %q", uri, got)
		}
	}
}

func TestTargetWithQuery(t *testing.T) {
	for _, c := range []struct{ uri, query, want string }{
		{"/p?utm=1", "", "/p"},
		{"/p?", "", "/p?"},
		{"/p", "", "/p"},
		{"/p?a=1&utm=1", "a=1", "/p?a=1"},
	} {
		once := target(t, c.uri).WithQuery(c.query)
		if got := once.String(); got != c.want || once.WithQuery(c.query) != once {
			t.Errorf("%s with %q: %s, want %s, and the same again", c.uri, c.query, got, c.want)
		}
	}
}
