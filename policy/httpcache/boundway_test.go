package httpcache

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestBoundWay(t *testing.T) {
	long := strings.Repeat("x", 3000)
	own := strings.TrimSuffix(strings.Repeat("1.1 cacheproxy, 1.1 "+strings.Repeat("y", 100)+".example, ", 100), ", ")
	for _, c := range []struct {
		lines, want []string
	}{
		{[]string{"1.1 a"}, []string{"1.1 a"}},
		{[]string{"1.1 a, 1.0 b", "1.1 c (d)"}, []string{"1.1 a, 1.0 b", "1.1 c (d)"}},
		{[]string{"1.1 " + long}, nil},
		{[]string{"1.1 a, 1.1 " + long}, nil},
		{[]string{"1.1 " + long + ", 1.1 a", "1.1 b"}, []string{"1.1 a, 1.1 b"}},
		{[]string{long, long, long}, nil},
		{[]string{"1.1 " + long + ", "}, nil},
	} {
		for _, name := range []string{"Via", "Cdn-Loop"} {
			h := http.Header{name: c.lines, "Accept": {long}}
			boundWay(h)
			if !reflect.DeepEqual(h[name], c.want) || len(h["Accept"]) != 1 {
				t.Errorf("%.40q becomes %.80q, want %q", c.lines, h[name], c.want)
			}
		}
	}
	h := http.Header{"Via": {own}}
	if boundWay(h); len(h["Via"][0]) > longestWay || ViaHops(h) < 10 {
		t.Errorf("%d bytes stay, with %d of the hops of a loop", len(h["Via"][0]), ViaHops(h))
	}
}
