package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// A body that is too large is refused before the origin hears of it, or, where its length is not told and it is long, once it is.
func TestMaxBody(t *testing.T) {
	const most = 2 * maxGatheredAhead
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n > most {
			t.Errorf("the origin got %d bytes", n)
		}
	}, rigOptions{maxBody: most}, routeFor(t, "all", nil, "/"))
	large := strings.Repeat("x", most)
	for _, c := range []struct {
		name   string
		body   io.Reader
		status int
		asked  int
	}{
		{"as large as may be", strings.NewReader(large), 200, 1},
		{"length told", strings.NewReader(large + "x"), 413, 1},
		{"length not told, short", struct{ io.Reader }{strings.NewReader("0123456789")}, 200, 2},
		{"length not told", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1<<20))}, 413, 3},
		{"length not told, as large as may be", struct{ io.Reader }{strings.NewReader(large)}, 200, 4},
	} {
		a, err := r.try("POST", "/", c.body)
		if err != nil || a.status != c.status {
			t.Errorf("%s: %d, %v; want %d", c.name, a.status, err, c.status)
		}
		if told := a.header.Get("Cache-Status"); c.status == 413 && !strings.HasSuffix(told, "detail=too-large") {
			t.Errorf("%s: %q", c.name, told)
		}
		if n := count(t, r.metrics, "cacheproxy_origin_requests_total", ""); n != c.asked {
			t.Errorf("%s: the origin was asked %d times, want %d", c.name, n, c.asked)
		}
	}
}

// Max-Forwards is counted down, and ends the way here at zero (RFC 9110 §7.6.2); a TRACE shows nothing secret (§9.3.8).
func TestMaxForwards(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "origin "+r.Header.Get("Max-Forwards"))
	}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.Bypass }, "/"))
	r.do("OPTIONS", "/", "Max-Forwards", "2").want(t, "goes on", 200, "origin 1", "fwd=")
	r.do("GET", "/", "Max-Forwards", "0").want(t, "another method", 200, "origin 0", "fwd=")
	r.do("OPTIONS", "/", "Max-Forwards", "0").want(t, "ends here", 204, "", "cacheproxy")
	a := r.do("TRACE", "/a?b", "Max-Forwards", "0", "Cookie", "secret=1", "Authorization", "secret", "X-Seen", "yes")
	if a.status != 200 || a.header.Get("Content-Type") != "message/http" || !strings.HasPrefix(a.body, "TRACE /a?b HTTP/1.1\r\nHost: ") ||
		!strings.Contains(a.body, "X-Seen: yes\r\n") || strings.Contains(a.body, "secret") {
		t.Errorf("TRACE: %d %q", a.status, a.body)
	}
}
