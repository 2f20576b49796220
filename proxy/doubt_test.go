package proxy

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A write whose outcome is unknown may have happened. A fetch that began inside its fence, and read the row before the write came
// to it, is not shared with who asks after the client of the write has its answer.
func TestFetchFromBeforeADoubtfulWriteIsNotShared(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w http.ResponseWriter)
	}{
		{"500", func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }},
		{"no answer", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
		{"200", func(http.ResponseWriter) {}},
	} {
		for kind, change := range keeping {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				var row atomic.Int64
				var commit, read chan struct{}
				backend := func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "POST" {
						<-commit
						row.Add(1)
						c.end(w)
						return
					}
					w.Header().Set("Cache-Control", "max-age=60")
					seen := row.Load()
					<-read
					fmt.Fprint(w, seen)
				}
				route := routeFor(t, "v", change, "/v/{id}")
				inBubble(t, backend, rigOptions{}, route, func(b *bubble) {
					commit, read = make(chan struct{}), make(chan struct{})
					written, early, late := make(chan answer, 1), make(chan answer, 1), make(chan answer, 1)
					go func() { written <- b.serve(b.t.Context(), "POST", "/v/1", nil) }()
					synctest.Wait()
					go func() { early <- b.serve(b.t.Context(), "GET", "/v/1", nil) }()
					synctest.Wait() // it has read the row
					close(commit)
					<-written
					go func() { late <- b.serve(b.t.Context(), "GET", "/v/1", nil) }()
					synctest.Wait()
					close(read)
					if a := <-late; a.body != "1" {
						t.Errorf("a read after the write was answered %q: %s", a.body, a.header.Get("Cache-Status"))
					}
					<-early
				})
			})
		}
	}
}
