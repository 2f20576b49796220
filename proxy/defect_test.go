package proxy

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// defective is a client's writer that panics as a defect of the proxy would, once the head of an answer went out.
type defective struct{ *httptest.ResponseRecorder }

func (defective) Write([]byte) (int, error) { panic("a defect") }

// A defect ends the request that meets it, and nothing else. The log has its stack, and the client has 500, or no whole answer.
func TestDefectOfARequest(t *testing.T) {
	before := met
	met = func(any) {}
	t.Cleanup(func() { met = before })
	var asked atomic.Int64
	var log bytes.Buffer
	o := rigOptions{logger: slog.New(slog.NewTextHandler(&log, nil))}
	inBubble(t, counted(&asked, nil), o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		b.do("GET", "/hit").want(t, "a copy", 200, "1", "stored")
		synctest.Wait()
		route := b.proxy.config().byName["all"]
		upstream := route.Requests
		for _, c := range []struct {
			name, method, target string
			early                bool // before the head of an answer
			serve                func(http.ResponseWriter, *http.Request)
		}{
			{"before the head", "POST", "/a", true, b.proxy.ServeHTTP},
			{"behind the head", "POST", "/a", false, b.proxy.ServeHTTP},
			{"of a hit", "GET", "/hit", false, b.proxy.ServeHTTP},
			{"of a hit below net/http", "GET", "/hit", false, func(w http.ResponseWriter, r *http.Request) { NewHits(b.proxy).Answer(w, r) }},
		} {
			log.Reset()
			w := httptest.NewRecorder()
			client := http.ResponseWriter(defective{w})
			if c.early {
				client, route.Requests = w, nil // which counts what the origin is asked
			}
			aborted := abortedIn(func() { c.serve(client, httptest.NewRequestWithContext(b.t.Context(), c.method, c.target, nil)) })
			synctest.Wait()
			route.Requests = upstream
			if aborted == c.early || c.early && (w.Code != http.StatusInternalServerError || !strings.Contains(w.Header().Get("Cache-Status"), "detail=panic")) {
				t.Errorf("%s: aborted: %v; %d %v %s", c.name, aborted, w.Code, w.Header(), w.Body)
			}
			for _, part := range []string{"level=ERROR", "request panicked", "route=all", "panic=", "_test.go"} {
				if !strings.Contains(log.String(), part) {
					t.Errorf("%s: no %s in the log: %s", c.name, part, log.String())
				}
			}
		}
		b.do("GET", "/hit").want(t, "another", 200, "*", "cacheproxy;")
	})
}

// abortedIn reports whether an answer broke off as net/http has them do it. What else was to end a connection is no end of a request.
func abortedIn(f func()) (aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			aborted = true
		}
	}()
	f()
	return false
}
