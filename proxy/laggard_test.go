package proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"cacheproxy/proxy/fill"
)

// stuckWriter is a client that takes the head of its answer and what fits into its window, until it is let go.
type stuckWriter struct {
	*httptest.ResponseRecorder
	free chan struct{}
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.free
	return w.ResponseRecorder.Write(p)
}

// A client that is cut off because it held up others is said to be just that, and not to have met an answer that ended early.
func TestLogOfLaggards(t *testing.T) {
	const size = 8 << 20
	backend := func(w http.ResponseWriter, _ *http.Request) {
		for range size / (64 << 10) {
			io.WriteString(w, strings.Repeat("x", 64<<10))
		}
	}
	inBubble(t, backend, rigOptions{memory: 4 << 20}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var out bytes.Buffer
		b.logTo(&out)
		slow := &stuckWriter{httptest.NewRecorder(), make(chan struct{})}
		ended := make(chan any)
		go func() {
			defer func() { ended <- recover() }()
			b.proxy.ServeHTTP(slow, httptest.NewRequestWithContext(b.t.Context(), "GET", "/a", nil))
		}()
		// The other joins while the head is not there yet, and shares what outgrows its limit.
		if a := b.do("GET", "/a"); len(a.body) != size {
			t.Errorf("the other got %d bytes", len(a.body))
		}
		close(slow.free)
		if v := <-ended; v != http.ErrAbortHandler {
			t.Errorf("the slow one ended with %v, want it cut off", v)
		}
		synctest.Wait()
		if line := lastLine(t, &out); line["reason"] != "laggard" || line["aborted"] != true {
			t.Errorf("%v, want %v", line, fill.ErrLaggard)
		}
	})
}
