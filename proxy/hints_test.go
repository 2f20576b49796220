package proxy

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"

	"cacheproxy/test/wire"
)

// hinting answers with two informational responses and a body.
func hinting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Link", "</style.css>")
	w.Header().Set("Surrogate-Key", "secret")
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Set("Link", "</script.js>")
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Del("Link")
	w.Header().Set("Content-Type", "text/plain")
	if strings.HasPrefix(r.URL.Path, "/private") {
		w.Header().Set("Cache-Control", "private")
	}
	io.WriteString(w, "body")
}

// exchangeRaw sends a request as it stands and returns the heads that come back, and the body.
func exchangeRaw(t *testing.T, r *rig, request string) (heads []string) {
	t.Helper()
	return strings.Split(wire.Send(t, r.front.Listener.Addr().String(), request), "\r\n\r\n")
}

func TestHintsOfAFill(t *testing.T) {
	r := newRig(t, hinting, rigOptions{}, routeFor(t, "all", nil, "/"))
	get := func(target, version string) []string {
		return exchangeRaw(t, r, "GET "+target+" HTTP/"+version+"\r\nHost: a\r\nConnection: close\r\n\r\n")
	}
	for _, target := range []string{"/a", "/private", "/private"} { // the second of these is fetched alone
		heads := get(target, "1.1")
		if len(heads) != 4 || heads[3] != "body" {
			t.Fatalf("%s: %q", target, heads)
		}
		wire.WantLines(t, "first", heads[0], "HTTP/1.1 103 Early Hints", "Link: </style.css>")
		wire.WantLines(t, "second", heads[1], "HTTP/1.1 103 Early Hints", "Link: </script.js>")
		if strings.Contains(heads[2], "Link") || !strings.HasPrefix(heads[2], "HTTP/1.1 200 OK\r\n") {
			t.Errorf("%s: final head: %q", target, heads[2])
		}
	}
	if heads := get("/a", "1.1"); len(heads) != 2 || strings.Contains(heads[0], "Link") {
		t.Errorf("hints were stored: %q", heads)
	}
	if heads := get("/b", "1.0"); len(heads) != 2 || heads[1] != "body" {
		t.Errorf("HTTP/1.0 has informational responses (RFC 9110 §15.2): %q", heads)
	}
}

// Only the one who leads gets hints: whether the answer is for the others too is not known yet.
func TestHintsAreNotShared(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		hinting(w, &http.Request{URL: &url.URL{Path: "/"}})
	}, rigOptions{}, routeFor(t, "all", nil, "/"))
	hints := func() (n int, body string) {
		var mu sync.Mutex
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
			mu.Lock()
			defer mu.Unlock()
			n++
			return nil
		}})
		req, err := http.NewRequestWithContext(ctx, "GET", r.front.URL+"/a", nil)
		if err != nil {
			t.Error(err)
			return
		}
		res, err := r.client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return n, string(b)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if n, body := hints(); n != 2 || body != "body" {
			t.Errorf("the leader got %d hints and %q", n, body)
		}
	})
	<-asked
	all.Go(func() {
		if n, body := hints(); n != 0 || body != "body" {
			t.Errorf("the one who waits got %d hints and %q", n, body)
		}
	})
	waitFor(t, func() bool { return waiters(r) == 1 })
	close(release)
	all.Wait()
}
