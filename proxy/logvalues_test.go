package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
)

// unrecorded is a log that takes no entries.
type unrecorded struct{ *invalidation.Local }

func (unrecorded) Invalidate(context.Context, invalidation.Order) (invalidation.Receipt, error) {
	return invalidation.Receipt{}, errors.New("no contact")
}

// No line of any log has the values of a query, of header fields or of cookies, nor what the origin sends where that is no HTTP: the
// path and names say what a request was about.
func TestLogsHaveNoValues(t *testing.T) {
	var access, program bytes.Buffer
	o := rigOptions{
		log:    func(l *invalidation.Local) invalidation.Log { return unrecorded{l} },
		logger: slog.New(slog.NewJSONHandler(&program, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: observe.MaskErrors})),
	}
	for _, mode := range []policy.Mode{policy.On, policy.Observe, policy.Off} {
		route := routeFor(t, "search", func(r *policy.Route) {
			r.Key = template(t, "s:{id}:{query.q}:{cookie.session}:{header.X-Token}")
			r.Cookies, r.Headers, r.Mode = []string{"session"}, []string{"X-Token"}, mode
		}, "/search/{id}")
		n := 0
		inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; strings.Contains(r.URL.Path, "broken") {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprint(conn, "HTTP/1.1 SECRET\r\nSECRET SECRET\r\n\r\n")
				conn.Close()
				return
			}
			fmt.Fprint(w, n)
		}, o, route, func(b *bubble) {
			b.logTo(&access)
			for _, method := range []string{"GET", "POST", "FROB", "OPTIONS"} {
				for _, path := range []string{"/search/17", "/search/broken", "//search/17", "/else"} {
					for range 2 {
						b.do(method, path+"?q=SECRET&token=SECRET&SECRET=", "Cookie", "session=SECRET", "X-Token", "SECRET", "Authorization", "SECRET")
						b.do(method, path+"?q=SECRET", "Cookie", "session=SECRET", "X-Token", "SECRET")
					}
				}
			}
		})
	}
	for name, log := range map[string]*bytes.Buffer{"access": &access, "program": &program} {
		if log.Len() == 0 {
			t.Errorf("the %s log is empty", name)
		}
		for line := range strings.Lines(log.String()) {
			if strings.Contains(strings.Replace(line, `"query":"q,token,SECRET"`, "", 1), "SECRET") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
	if !strings.Contains(access.String(), `"key":"s:17:…:…:…"`) || !strings.Contains(program.String(), `"path":"/search/17"`) {
		t.Errorf("neither path nor names: %s%s", access.String(), program.String())
	}
}
