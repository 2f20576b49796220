package proxy

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
)

// An answer that breaks off after its head has been told about already: the log repeats what was told, and names what cut it off
// beside it.
func TestLogOfBrokenAnswers(t *testing.T) {
	backend := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush() //nolint:errcheck // the head has to be out
		panic(http.ErrAbortHandler)
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var out bytes.Buffer
		b.logTo(&out)
		if a := b.do("GET", "/a"); a.body != "aborted" {
			t.Errorf("the client took it for whole: %d %q", a.status, a.body)
		}
		synctest.Wait()
		line := lastLine(t, &out)
		if line["cache_status"] != "cacheproxy; fwd=uri-miss; fwd-status=200; stored" || line["reason"] != "incomplete" || line["aborted"] != true {
			t.Errorf("%v", line)
		}
	})
}
