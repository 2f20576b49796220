package proxy

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// One line a minute says that a proxy of the operator's own may not be believed.
func TestUnbelievedProxyIsLogged(t *testing.T) {
	inBubble(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var log bytes.Buffer
		b.proxy.logger = slog.New(slog.NewTextHandler(&log, nil))
		b.proxy.config().Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}
		ask := func(peer string, header ...string) int {
			log.Reset()
			r := httptest.NewRequest("GET", "http://example.com/", nil)
			r.RemoteAddr = peer
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			b.proxy.ServeHTTP(httptest.NewRecorder(), r)
			return strings.Count(log.String(), "peer=")
		}
		for _, c := range []struct {
			peer   string
			header []string
			lines  int
		}{
			{"10.0.0.1:1", nil, 0},
			{"192.0.2.1:1", []string{"X-Forwarded-For", "1.1.1.1"}, 0}, // anybody on the internet
			{"10.0.0.2:1", []string{"X-Forwarded-For", "1.1.1.1"}, 0},  // believed
			{"10.0.0.1:1", []string{"X-Forwarded-For", "1.1.1.1"}, 1},
			{"10.0.0.3:1", []string{"X-Forwarded-For", "1.1.1.1"}, 0}, // said a moment ago
		} {
			if got := ask(c.peer, c.header...); got != c.lines {
				t.Errorf("%s %v: %d lines, want %d", c.peer, c.header, got, c.lines)
			}
		}
		for _, c := range []struct{ peer, field, value string }{
			{"[fd00::1]:1", "X-Forwarded-Proto", "https"}, {"127.0.0.1:1", "Forwarded", "for=1.1.1.1"},
		} {
			b.pass(sayUnbelieved)
			if got := ask(c.peer, c.field, c.value); got != 1 || !strings.Contains(log.String(), netip.MustParseAddrPort(c.peer).Addr().String()) {
				t.Errorf("%s: %d lines a minute later: %s", c.peer, got, log.String())
			}
		}
	})
}
