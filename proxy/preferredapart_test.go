package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A client that the API refuses leaves nothing behind, nor takes anything away, where others prefer the same and accept more: in whatever
// order they come, one by one or at once.
func TestRefusedPreferenceIsForOneClient(t *testing.T) {
	for _, status := range []int{http.StatusNotAcceptable, http.StatusMultipleChoices} {
		for _, vary := range []string{"", "Accept"} {
			origin := func(w http.ResponseWriter, r *http.Request) {
				<-time.After(time.Second)
				w.Header().Set("Cache-Control", "max-age=600")
				if vary != "" {
					w.Header().Set("Vary", vary)
				}
				if !strings.Contains(r.Header.Get("Accept"), "json") {
					w.WriteHeader(status)
					return
				}
				io.WriteString(w, r.Header.Get("Accept"))
			}
			inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				short, both, other := "text/html", "text/html, application/json;q=0.9", "text/html, text/json;q=0.5"
				read := func(path, accept, cache string) {
					t.Helper()
					code, body := status, ""
					if accept != short {
						code, body = 200, accept
					}
					b.do("GET", path, "Accept", accept).want(t, path+" "+accept, code, body, cache)
				}
				for range 3 {
					read("/refused-first", short, "")
					synctest.Wait()
					read("/refused-first", both, "")
					read("/served-first", both, "")
					synctest.Wait()
					read("/served-first", short, "")
				}
				read("/refused-first", both, "; hit")
				read("/served-first", both, "; hit")
				read("/served-first", other, "fwd=")
				var all sync.WaitGroup
				for i := range 12 {
					all.Go(func() { read("/at-once", [...]string{short, both, other}[i%3], "") })
				}
				all.Wait()
			})
		}
	}
}

// Once it is known that the API names a field in Vary, which it gets whole from then on, no copy crosses what clients say in it, also
// where one says no more than what it prefers, and the answer no more than that it is one.
func TestKnownToSelectTellsApart(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		if said := r.Header.Get("Accept-Language"); strings.Contains(said, "fr") {
			w.Header().Set("Vary", "Accept-Language")
		}
		fmt.Fprint(w, r.Header["Accept-Language"])
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		read := func(path, said, cache string) {
			t.Helper()
			var header []string
			if said != "" {
				header = []string{"Accept-Language", said}
			}
			b.do("GET", path, header...).want(t, path+" "+said, 200, fmt.Sprint(strings.Fields(said)), cache)
			synctest.Wait()
		}
		read("/a", "fr,de;q=0.5", "stored")
		for _, path := range []string{"/a", "/b"} {
			for _, preferred := range []string{"es", "it"} {
				read(path, preferred, "stored")
				read(path, preferred+",de;q=0.5", "fwd=vary-miss")
				read(path, preferred+",nl;q=0.5", "fwd=vary-miss")
				read(path, preferred, "; hit")
			}
			read(path, "", "stored")
			read(path, ",,", "fwd=vary-miss")
			read(path, "", "; hit")
		}
	})
}
