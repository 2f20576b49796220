package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// client keeps no connection that a test could leave behind, and follows no redirect.
var client = &http.Client{
	Timeout:       patience,
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// cacheStatus is what the proxy says of an answer: "" where it says nothing.
func (a answer) cacheStatus() string { return a.header.Get("Cache-Status") }

func (a answer) isHit() bool { return strings.HasPrefix(a.cacheStatus(), "cacheproxy; hit") }

// call makes a request; header fields are "Name: value".
func call(t testing.TB, method, url, body string, fields ...string) answer {
	t.Helper()
	a, err := tryCall(method, url, body, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryCall(method, url, body string, fields ...string) (answer, error) {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, content)
	if err != nil {
		return answer{}, err
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	content2, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(content2)}, err
}

func get(t testing.TB, url string, fields ...string) answer {
	t.Helper()
	return call(t, http.MethodGet, url, "", fields...)
}

// wantHit reads a URL and says whether a copy was to answer.
func wantHit(t testing.TB, url string, hit bool) answer {
	t.Helper()
	a := get(t, url)
	for hit && a.status == http.StatusOK && strings.Contains(a.cacheStatus(), "; collapsed") {
		a = get(t, url) // whoever asks before the copy is stored has it from the fetch
	}
	if a.status != http.StatusOK || a.isHit() != hit {
		t.Errorf("GET %s: %d, %q, want a hit: %v", url, a.status, a.cacheStatus(), hit)
	}
	return a
}

// fields decodes a JSON object.
func (a answer) fields(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return m
}

// origin counts what it is asked for and answers with the count, so that an answer tells which fetch it came from.
type origin struct {
	url   string
	mu    sync.Mutex // guards asked
	asked map[string]int
}

func (o *origin) count(target string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[target]
}

func newOrigin(t testing.TB, fields ...string) *origin {
	t.Helper()
	o := &origin{asked: map[string]int{}}
	o.url = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		target := r.Method + " " + r.URL.RequestURI()
		o.mu.Lock()
		o.asked[target]++
		n := o.asked[target]
		o.mu.Unlock()
		for _, field := range fields {
			name, value, _ := strings.Cut(field, ": ")
			w.Header().Add(name, value)
		}
		fmt.Fprintf(w, "%s #%d", target, n)
	})
	return o
}

func newServer(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// sendRaw writes bytes to a listener and returns everything that comes back until it closes the connection.
func sendRaw(t testing.TB, url, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// A listener that has read enough may close before everything is written; what it said counts.
	io.WriteString(conn, text)
	said, _ := io.ReadAll(conn)
	return string(said)
}
