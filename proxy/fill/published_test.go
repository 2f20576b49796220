package fill

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// What a flight has published does not change while others read it. A whole that breaks off can complete parts of which two
// gaps were missing: the copy then has the members of all of them, and the answer on its way keeps its own.
func TestPublishedAnswerDoesNotChange(t *testing.T) {
	for range 10 {
		breaks := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"v"`)
			if r.Header.Get("Range") != "" {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(letters))
				return
			}
			w.Header().Set("Content-Length", "26")
			io.WriteString(w, letters[:22])
			http.NewResponseController(w).Flush() //nolint:errcheck // the filler waits for it
			<-breaks
			panic(http.ErrAbortHandler)
		})
		for _, part := range []string{"0-4", "8-9", "20-25"} {
			q := r.request()
			q.Range = "bytes=" + part
			if res, body := r.read(r.Alone(t.Context(), "/a", nil, q)); len(body) != int(res.Length) {
				t.Fatalf("%d, %q", res.Status, body)
			}
			r.idle()
		}
		var all sync.WaitGroup
		whole := r.Join(joiner(), func() *Request { return r.request() })
		res, lead, _ := whole.Await(t.Context(), time.Minute, nil)
		members := len(res.Members)
		done := make(chan struct{})
		for range 2 {
			all.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						r.Join(joiner(), func() *Request { return nil }) // looks at what is published
					}
				}
			})
		}
		close(breaks)
		waitFor(t, func() bool { _, ok := r.stored(); return ok })
		lead.Detach()
		close(done)
		all.Wait()
		r.idle()
		if body, _ := r.stored(); body != letters {
			t.Fatalf("the parts have not become whole: %q", body)
		}
		if len(res.Members) != members {
			t.Errorf("%d members, and %d before", len(res.Members), members)
		}
	}
}
