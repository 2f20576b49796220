package proxy

import (
	"encoding/json"
	"net/http"
	"testing"
)

// An error of the proxy's own is one for programs to whoever asks for JSON, on every way to it, and leads to the log.
func TestErrorsAsProblems(t *testing.T) {
	broken := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for _, method := range []string{"GET", "POST", "DELETE"} { // fetched, passed
		t.Run(method, func(t *testing.T) {
			inBubble(t, broken, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				a := b.do(method, "/a", "Accept", "application/json")
				var problem struct {
					Status    int
					Title     string
					Detail    string
					RequestID string `json:"request_id"`
				}
				if err := json.Unmarshal([]byte(a.body), &problem); err != nil {
					t.Fatalf("%v: %s", err, a.body)
				}
				if a.status != 502 || problem.Status != 502 || problem.Title != "Bad Gateway" || problem.Detail == "" ||
					problem.RequestID != a.header.Get("X-Request-Id") || problem.RequestID == "" || a.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%d %v %s", a.status, a.header, a.body)
				}
				a = b.do(method, "/a")
				if want := problem.Detail + "\nrequest id: " + a.header.Get("X-Request-Id") + "\n"; a.body != want {
					t.Errorf("as text: %q, want %q", a.body, want)
				}
			})
		})
	}
}
