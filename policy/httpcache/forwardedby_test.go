package httpcache

import (
	"fmt"
	"testing"
)

func TestForwardedScheme(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, ""},
		{[]string{"X-Forwarded-Proto: https"}, "https"},
		{[]string{"X-Forwarded-Proto: HTTP , https"}, "http"},
		{[]string{"X-Forwarded-Proto: wss"}, ""},
		{[]string{"X-Forwarded-Proto: http", "Forwarded: proto=https"}, "http"},
		{[]string{"Forwarded: for=192.0.2.1; Proto=\"https\"", "Forwarded: proto=http"}, "https"},
		{[]string{"Forwarded: for=192.0.2.1, proto=https"}, ""},
		{[]string{`Forwarded: host="a,\";proto=http";proto=https`}, "https"},
		{[]string{"Forwarded: proto"}, ""},
	} {
		if got := ForwardedScheme(header(c.header...)); got != c.want {
			t.Errorf("%q: %q, want %q", c.header, got, c.want)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, "[]"},
		{[]string{"X-Forwarded-For: 192.0.2.1, 2001:db8::1", "X-Forwarded-For: 192.0.2.2:4711"}, "[192.0.2.1 2001:db8::1 192.0.2.2]"},
		{[]string{"X-Forwarded-For: nobody, ::ffff:192.0.2.1"}, "[invalid IP 192.0.2.1]"},
		{[]string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.2"}, "[192.0.2.1]"},
		{[]string{`Forwarded: for="[2001:db8::1]:4711";by=x, FOR=192.0.2.2`, "Forwarded: proto=http;for=unknown"}, "[2001:db8::1 192.0.2.2 invalid IP]"},
		{[]string{`Forwarded: for="[2001:db8::1]"`}, "[2001:db8::1]"},
		{[]string{`Forwarded: for="`}, "[invalid IP]"},
	} {
		if got := fmt.Sprint(ForwardedFor(header(c.header...))); got != c.want {
			t.Errorf("%q: %s, want %s", c.header, got, c.want)
		}
	}
}
