package server

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// A handler that wants no more of a body ends it at once, and is told of one that did not come as of one that nobody wants.
func TestGiveUp(t *testing.T) {
	for path, want := range map[string]time.Duration{"/wants-it": 30 * time.Second, "/gives-up": 0} {
		inFront(t, Limits{BodyTimeout: 30 * time.Second}, func(s *front) {
			ended := make(chan time.Duration, 1)
			s.handle = func(w http.ResponseWriter, r *http.Request) {
				start := time.Now()
				if Late(r.Context()) {
					t.Errorf("%s: late before its time", path)
				}
				if r.URL.Path == "/gives-up" {
					GiveUp(r.Context())
				}
				if _, err := io.ReadAll(r.Body); err == nil || !Late(r.Context()) {
					t.Errorf("%s: %v, late %v", path, err, Late(r.Context()))
				}
				ended <- time.Since(start)
			}
			fmt.Fprintf(s.dial(), "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx", path)
			if took := <-ended; took != want {
				t.Errorf("%s: ended after %v, want %v", path, took, want)
			}
		})
	}
	GiveUp(t.Context()) // of a request whose connection is none of a set
	if Late(t.Context()) {
		t.Error("late without a connection")
	}
}
