package httpcache

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

func TestForward(t *testing.T) {
	claimed := []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2", "X-Forwarded-Host: user.example", "X-Forwarded-Proto: https",
		"X-Forwarded-Prefix: /p", "Forwarded: for=1.1.1.1;proto=https", "Accept: a"}
	tests := []struct {
		about   string
		client  []string
		addr    string
		host    string
		trusted bool
		want    []string
	}{
		{"nothing there", nil, "192.0.2.1", "a.example", false,
			[]string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: a.example", "X-Forwarded-Proto: http", "Forwarded: for=192.0.2.1;host=a.example;proto=http"}},
		{"not trusted: replaced", claimed, "192.0.2.1", "a.example", false,
			[]string{"Accept: a", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: a.example", "X-Forwarded-Proto: http", "Forwarded: for=192.0.2.1;host=a.example;proto=http"}},
		{"trusted: extended", claimed, "192.0.2.1", "a.example", true,
			[]string{"Accept: a", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.1", "X-Forwarded-Host: user.example", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /p",
				"Forwarded: for=1.1.1.1;proto=https, for=192.0.2.1;host=a.example;proto=http"}},
		{"trusted, nothing there", nil, "192.0.2.1", "a.example", true,
			[]string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: a.example", "X-Forwarded-Proto: http", "Forwarded: for=192.0.2.1;host=a.example;proto=http"}},
		{"IPv6 is bracketed and quoted, a port is quoted (RFC 7239 §4, §6)", nil, "2001:db8::1%eth0", "a.example:8080", false,
			[]string{"X-Forwarded-For: 2001:db8::1", "X-Forwarded-Host: a.example:8080", "X-Forwarded-Proto: http", `Forwarded: for="[2001:db8::1]";host="a.example:8080";proto=http`}},
		{"IPv4 in IPv6", nil, "::ffff:192.0.2.1", "", false,
			[]string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http", "Forwarded: for=192.0.2.1;proto=http"}},
		{"a fill names no client", claimed, "", "a.example", false,
			[]string{"Accept: a", "X-Forwarded-Host: a.example", "X-Forwarded-Proto: http", "Forwarded: host=a.example;proto=http"}},
		{"quotes in a host are escaped", nil, "", `a",for=x`, false,
			[]string{`X-Forwarded-Host: a",for=x`, "X-Forwarded-Proto: http", `Forwarded: host="a\",for=x";proto=http`}},
		{"a host that cannot be quoted", nil, "", "a\x7f", false,
			[]string{"X-Forwarded-Host: a\x7f", "X-Forwarded-Proto: http", "Forwarded: proto=http"}},
	}
	for _, tt := range tests {
		h := header(tt.client...)
		var addr netip.Addr
		if tt.addr != "" {
			addr = netip.MustParseAddr(tt.addr)
		}
		Forward(h, addr, "http", tt.host, tt.trusted)
		if want := header(tt.want...); !reflect.DeepEqual(h, want) {
			t.Errorf("%s:\n got %v\nwant %v", tt.about, h, want)
		}
	}
}

func TestVia(t *testing.T) {
	h := header("Via: 1.0 fred", "Via: 1.1 p.example.net (Apache/1.1, 1.1 cacheproxy , x)")
	if n := ViaHops(h); n != 0 {
		t.Errorf("%d hops: a comment is none (RFC 9110 §7.6.3)", n)
	}
	AppendVia(h, 1, 1)
	AppendVia(h, 2, 0)
	if got, want := h.Get("Via"), "1.0 fred, 1.1 p.example.net (Apache/1.1, 1.1 cacheproxy , x), 1.1 cacheproxy, 2.0 cacheproxy"; got != want || len(h["Via"]) != 1 {
		t.Errorf("Via = %q", h["Via"])
	}
	if n := ViaHops(h); n != 2 {
		t.Errorf("%d hops, want 2", n)
	}
	if n := ViaHops(header(`Via: 1.1 x (a \) , 1.1 cacheproxy), HTTP/1.1 CacheProxy (y)`, "Via: cacheproxy")); n != 1 {
		t.Errorf("%d hops, want 1", n)
	}
}

// What this proxy says itself, and what frames or describes a message, cannot be said in a spelling that servers by the rules of CGI take
// for it (RFC 3875 §4.1.18), by nobody. Other names with "_" pass.
func TestForwardLeavesNoOtherSpelling(t *testing.T) {
	own := []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "Surrogate-Capability",
		"Content-Length", "Content-Type", "Content-Encoding", "Content-Language", "Content-Range", "Content-Anything"}
	for name := range hopByHop {
		own = append(own, name)
	}
	for _, trusted := range []bool{false, true} {
		for _, name := range own {
			for _, spelled := range []string{strings.ReplaceAll(name, "-", "_"), strings.Replace(name, "-", "_", 1)} {
				for _, spelled = range []string{spelled, strings.ToUpper(spelled), strings.ToLower(spelled)} {
					if spelled = textproto.CanonicalMIMEHeaderKey(spelled); !strings.Contains(spelled, "_") {
						continue // of one word
					}
					h := http.Header{spelled: {"evil"}}
					if Forward(h, netip.Addr{}, "http", "", trusted); h[spelled] != nil {
						t.Errorf("trusted %v: %s is forwarded", trusted, spelled)
					}
				}
			}
		}
		for _, name := range []string{"X_api_key", "User_agent", "Content", "Contents_x", "X_content_type", "Session_id"} {
			h := http.Header{name: {"x"}}
			if Forward(h, netip.Addr{}, "http", "", trusted); h[name] == nil {
				t.Errorf("trusted %v: %s is taken off", trusted, name)
			}
		}
	}
}
