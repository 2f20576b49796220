package instance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// recordingOrigin answers by the path alone, and notes what it sees.
type recordingOrigin struct {
	mu   sync.Mutex
	seen []string
}

func (o *recordingOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	names := []string{}
	for name, lines := range r.Header {
		// Whether a connection is kept after an unsafe request goes by how many were lost of late, which is a matter of time.
		if name != "X-Request-Id" && name != "Connection" {
			names = append(names, fmt.Sprintf("%s=%q", name, lines))
		}
	}
	slices.Sort(names)
	if strings.HasPrefix(r.URL.Path, "/broken/") {
		return // whether a request with a body that breaks off gets here is not certain
	}
	o.mu.Lock()
	o.seen = append(o.seen, fmt.Sprintf("%s %s %s %q %v", r.Method, r.RequestURI, r.Host, body, names))
	o.mu.Unlock()
	h := w.Header()
	h.Set("Etag", `"v1"`)
	h.Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	h.Set("X-Powered-By", "test")
	h.Set("Content-Type", "text/plain")
	switch {
	case strings.HasPrefix(r.URL.Path, "/vary/"):
		h.Set("Vary", "X-Kind, Accept-Encoding")
	case strings.HasPrefix(r.URL.Path, "/cors/"):
		h.Set("Access-Control-Allow-Origin", "*")
	case strings.HasSuffix(r.URL.Path, "/odd"):
		h["X-Odd"] = []string{"a", "", "b"}
		h.Set("Cache-Status", "origin; hit")
		delete(h, "Content-Type")
	case strings.HasSuffix(r.URL.Path, "/gone"):
		h.Set("Cache-Control", "max-age=600")
		w.WriteHeader(http.StatusNotFound)
	case strings.HasSuffix(r.URL.Path, "/moved"):
		h.Set("Location", "/plain/1")
		h.Set("Cache-Control", "max-age=600")
		w.WriteHeader(http.StatusMovedPermanently)
	}
	size := 300
	switch {
	case strings.HasSuffix(r.URL.Path, "/empty"):
		size = 0
	case strings.HasSuffix(r.URL.Path, "/long"):
		size = 30_000
	case strings.HasSuffix(r.URL.Path, "/huge"):
		size = 100_000
	}
	body = bytes.Repeat([]byte(r.URL.Path+" "), size/len(r.URL.Path+" "))
	h.Set("Content-Length", strconv.Itoa(len(body))) // else the sizes of chunks tell how they came
	w.Write(body)
}

func (o *recordingOrigin) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	slices.Sort(seen) // the background may be later than the next request
	return seen
}
