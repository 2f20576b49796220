package transparency

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"cacheproxy/test/servers"
)

var program string

func TestMain(m *testing.M) { os.Exit(servers.WithCacheproxy(&program, m.Run)) }

// ways are the routes by which a request can go, of which none may show.
var ways = map[string]string{
	"bypass":  "{name: all, match: /, policy: bypass}",
	"off":     "{name: all, match: /, policy: cache-aside, ttl: 1h, mode: off}",
	"observe": "{name: all, match: /, policy: cache-aside, ttl: 1h, mode: observe}",
	"none":    "{name: other, match: /nothing/else, policy: cache-aside, ttl: 1h}",
	"on":      "{name: all, match: /, policy: cache-aside, ttl: 1h}",
}

// through starts a proxy with a route before an API of its own.
func through(t *testing.T, route string) (*api, *servers.Cacheproxy) {
	t.Helper()
	a := newAPI(t)
	p, err := servers.StartCacheproxy(t.Context(), program, t.TempDir(), fmt.Sprintf(`
h2c: true
drain_delay: 0s
log: {hits: 0%%, others: 0%%}
upstreams: [{name: api, url: "http://%s"}]
routes: [%s]
`, a.address, route))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Stop() })
	return a, p
}

func TestTransparency(t *testing.T) {
	may := documentsOf(t)
	for name, route := range ways {
		for _, h2 := range []bool{false, true} {
			t.Run(name+map[bool]string{false: " over HTTP/1.1", true: " over HTTP/2"}[h2], func(t *testing.T) {
				t.Parallel()
				straight := newAPI(t)
				behind, proxy := through(t, route)
				direct, proxied := newClient(straight.address, h2), newClient(strings.TrimPrefix(proxy.URL, "http://"), h2)
				defer direct.transport.CloseIdleConnections()
				defer proxied.transport.CloseIdleConnections()
				times := 1
				if name == "on" {
					times = 2 // the second may come from a copy
				}
				for _, e := range mix() {
					want := direct.do(t.Context(), e)
					told := straight.take()
					for range times {
						got := proxied.do(t.Context(), e)
						heard := behind.take()
						how := got.header.Get("Cache-Status")
						for _, d := range append(differences(want, got, may), misheard(e, name == "on", told, heard, how, may)...) {
							t.Errorf("%s: %s\n    %s", e.name, d, how)
						}
					}
				}
			})
		}
	}
}

// differences are those of an answer from the one that the API gives.
func differences(want, got answer, may documents) (list []string) {
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if want.err == "no answer" { // whose place a 502 takes
		if got.status != http.StatusBadGateway && got.err == "" {
			differ("the API vanishes, and the client gets %d", got.status)
		}
		return list
	}
	if got.err != want.err {
		differ("the answer ends with %q, want %q", got.err, want.err)
	}
	if want.status == http.StatusRequestedRangeNotSatisfiable && got.status == want.status {
		return list // the text is the program's own where it has all of the content
	}
	if got.status != want.status {
		differ("status %d, want %d (%.60q)", got.status, want.status, got.text)
	}
	if want.err == "" && (got.body != want.body || got.length != want.length) {
		differ("a body of %d bytes, want %d: %.60q", got.length, want.length, got.text)
	}
	copied := strings.Contains(got.header.Get("Cache-Status"), "; hit") // which has neither hints nor trailer fields
	if !slices.Equal(got.interim, want.interim) && !copied {
		differ("interim answers %v, want %v", got.interim, want.interim)
	}
	list = append(list, fieldsDiffer("the client got", want.header, got.header, may.answers(got.header.Get("Cache-Status")))...)
	if !copied {
		list = append(list, fieldsDiffer("the client got as trailer", want.trailer, got.trailer, changes{})...)
	}
	return list
}

// misheard is what the API heard of a request through the proxy, and not of the same that came directly.
func misheard(e exchange, cached bool, told, heard []request, how string, may documents) (list []string) {
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case len(told) == 0:
		return nil // the direct one never arrived, such as OPTIONS *
	case len(heard) == 0 && cached && (strings.Contains(how, "; hit") || strings.Contains(how, "collapsed")):
		return nil
	case cached && len(heard) == 2 && strings.Contains(how, "fwd=bypass"): // a fill that was not for this request, and then the request
		heard = heard[1:]
	case cached && len(heard) == 2 && e.whole && strings.Contains(how, "fwd=uri-miss"): // the short form, and then the whole, which its Vary asks for
		heard = heard[1:]
	case len(heard) != len(told):
		differ("the API was asked %d times, want %d", len(heard), len(told))
		return list
	}
	want, got := told[0], heard[0]
	shared := cached && e.method == "GET" && (strings.Contains(how, "miss") || strings.Contains(how, "stale")) && !strings.Contains(how, "fwd=bypass") && !strings.Contains(how, "fwd=method")
	if got.line != want.line {
		differ("the API heard %q, want %q", got.line, want.line)
	}
	if got.host != want.host {
		differ("the API heard Host %q, want %q", got.host, want.host)
	}
	if got.body != want.body || got.length != want.length || got.err != want.err {
		differ("the API got %d bytes (%s), want %d (%s)", got.length, got.err, want.length, want.err)
	}
	allowed := may.passing
	if shared {
		allowed = may.shared
	}
	list = append(list, fieldsDiffer("the API heard", want.header, got.header, allowed)...)
	list = append(list, fieldsDiffer("the API heard as trailer", want.trailer, got.trailer, changes{})...)
	return list
}

// fieldsDiffer compares fields, but for those that may differ.
func fieldsDiffer(where string, want, got http.Header, c changes) (list []string) {
	names := map[string]bool{}
	for name := range want {
		names[name] = true
	}
	for name := range got {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, after := want[name], got[name]
		switch {
		case slices.Equal(before, after):
		case slices.Contains(framing, name) || slices.Contains(c.changed, name):
		case before == nil && slices.Contains(c.added, name):
		case after == nil && (slices.Contains(c.removed, name) || slices.ContainsFunc(c.removed, func(of string) bool { return strings.HasSuffix(of, "*") && strings.HasPrefix(name, of[:len(of)-1]) })):
		default:
			list = append(list, fmt.Sprintf("%s %s: %.100q, want %.100q", where, name, after, before))
		}
	}
	return list
}
