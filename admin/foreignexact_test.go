package admin

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whatever hosts and paths a BAN's expressions fit are gone when it is answered with 200: more may be, never less.
func TestBanTakesAtLeastWhatItsExpressionsFit(t *testing.T) {
	for _, host := range []string{".*", "^shop.example$", "^(shop.example|other.example)$", "shop.example", "^shop", "example$", "(shop|other)", "^(shop|other)", "^shop.example", "^shop.example|other$", "^other|example$"} {
		for _, path := range []string{".*", "^/", "^/.*", "^/a$", "/a$", "/a", "^/a", "^/blog", "/blog", "^/blog$", "^/blog/", "^/blog/.*", "^/blog/(.*)", "^/blog/x", "^/img/1", `^/img/1\.png$`, "/x$", "x$", "^/img/1.png", "^/.$", "^/blo.$", "^/img/1.png$"} {
			l := newListener().start(t)
			res, answer := l.raw(t, "tcp", wire("BAN / HTTP/1.1|Host: varnish|X-Host: "+strings.ReplaceAll(host, "|", "¦")+"|X-Url: "+path, ""))
			if res.StatusCode == 400 && len(l.purges) == 0 {
				continue
			}
			got := gone(l.purges)
			for at := range shelf {
				name, rest, _ := strings.Cut(at, "/")
				if regexp.MustCompile(host).MatchString(name) && regexp.MustCompile(path).MatchString("/"+rest) && !slices.Contains(got, at) {
					t.Errorf("X-Host %s, X-Url %s: %d %s, and %s is not gone", host, path, res.StatusCode, answer, at)
				}
			}
		}
	}
}

// No part of a call that says how it purges is overruled by another.
func TestContradictions(t *testing.T) {
	for _, c := range []struct{ request, body string }{
		{"POST /purge?soft=1 HTTP/1.1|Host: HOST", `{"tags":["a"],"soft":false}`},
		{"POST /purge?soft=0 HTTP/1.1|Host: HOST", `{"tags":["a"],"soft":true}`},
		{"POST /purge?wait=all HTTP/1.1|Host: HOST", `{"tags":["a"],"wait":"none"}`},
		{"POST /purge?wait=none HTTP/1.1|Host: HOST", `{"tags":["a"],"wait":"all"}`},
		{"PURGE /?soft=0 HTTP/1.1|Host: s|xkey-softpurge: a", ""},
		{"PURGE /?soft=1 HTTP/1.1|Host: s|xkey: a|Fastly-Soft-Purge: 0", ""},
		{"PURGE / HTTP/1.1|Host: s|xkey-softpurge: a|Fastly-Soft-Purge: 0", ""},
		{"PURGE /a?soft=0 HTTP/1.1|Host: s|Fastly-Soft-Purge: 1", ""},
		{"PURGE /a/.*?soft=0 HTTP/1.1|Host: s|Fastly-Soft-Purge: 1", ""},
		{"POST /service/S/purge/a?soft=0 HTTP/1.1|Host: HOST|Fastly-Soft-Purge: 1", ""},
		{"POST /service/S/purge?soft=1 HTTP/1.1|Host: HOST|Fastly-Soft-Purge: 0|Surrogate-Key: a", ""},
	} {
		l := newListener().start(t)
		res, answer := l.raw(t, "tcp", wire(c.request, c.body))
		if res.StatusCode != 400 || !strings.Contains(answer, "say it once") || len(l.purges) > 0 {
			t.Errorf("%s %s: %d %s, purged %v", c.request, c.body, res.StatusCode, answer, l.purges)
		}
	}
	for _, c := range []struct {
		request, body string
		soft          bool
	}{
		{"POST /purge?soft=1 HTTP/1.1|Host: HOST", `{"tags":["a"],"soft":true}`, true},
		{"POST /purge?soft=0&wait=all HTTP/1.1|Host: HOST", `{"tags":["a"],"soft":false,"wait":"all"}`, false},
		{"POST /purge?soft=1 HTTP/1.1|Host: HOST", `{"tags":["a"]}`, true},
		{"PURGE /a/.*?soft=1 HTTP/1.1|Host: s|Fastly-Soft-Purge: 1", "", true},
	} {
		l := newListener().start(t)
		if res, answer := l.raw(t, "tcp", wire(c.request, c.body)); res.StatusCode != 200 || l.last(t).Soft != c.soft {
			t.Errorf("%s %s: %d %s, purged %v", c.request, c.body, res.StatusCode, answer, l.purges)
		}
	}
}

// A call of a service that names no service or no zone is none.
func TestForeignCallsWithoutTheirID(t *testing.T) {
	l := newListener().start(t)
	for _, path := range []string{"/service//purge_all", "/service//purge", "/service//purge/a", "/client/v4/zones//purge_cache"} {
		if res, answer := l.ask(t, "POST "+path, `{"purge_everything":true}`); res.StatusCode != 404 || len(l.purges) > 0 {
			t.Errorf("%s: %d %s, purged %v", path, res.StatusCode, answer, l.purges)
		}
	}
}
