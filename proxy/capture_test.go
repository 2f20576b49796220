package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// What is kept of a body is in the budget until it is handed over or given up, and a body for which there is no room goes by all the
// same.
func TestCaptureIsInTheBudget(t *testing.T) {
	for _, c := range []struct {
		name           string
		memory, length int64
		closed         bool // before its end
		kept           bool
	}{
		{"kept", 1 << 20, 1000, false, true},
		{"broken off", 1 << 20, 1000, true, false},
		{"longer than the limit", 1 << 20, 5000, false, false},
		{"no room", 2000, 1000, false, false},
	} {
		budget := store.NewMemory(c.memory).Budget()
		kept, most := false, int64(0)
		body := &capture{ReadCloser: io.NopCloser(bytes.NewReader(make([]byte, c.length))), budget: budget, limit: 4000, done: func(data []byte) {
			kept = int64(len(data)) == c.length
			if budget.Reserved() < c.length {
				t.Errorf("%s: %d bytes of %d are counted", c.name, budget.Reserved(), c.length)
			}
		}}
		read := int64(0)
		for buf := make([]byte, 100); ; {
			n, err := body.Read(buf)
			read += int64(n)
			most = max(most, budget.Reserved())
			if err != nil || c.closed && read >= c.length/2 {
				break
			}
		}
		body.Close()
		body.release()
		if kept != c.kept || budget.Reserved() != 0 || most > c.memory/4 || !c.closed && read != c.length {
			t.Errorf("%s: kept %t, %d bytes left in the budget, %d at most, %d read", c.name, kept, budget.Reserved(), most, read)
		}
	}
}

// An answer that there is no memory to compare says nothing of the copy.
func TestObservedWithoutRoom(t *testing.T) {
	n := 0
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprint(w, n, strings.Repeat("x", 200<<10))
	}, rigOptions{memory: 1 << 20}, routeFor(t, "all", func(r *policy.Route) { r.Mode = policy.Observe }, "/"), func(b *bubble) {
		b.do("GET", "/a")
		synctest.Wait()
		budget := b.store.Memory().Budget()
		if !budget.Reserve(200 << 10) {
			t.Fatal("the budget is full")
		}
		b.do("GET", "/a")
		synctest.Wait()
		if differ := count(t, b.metrics, "cacheproxy_requests_total", "would_differ"); differ != 0 {
			t.Errorf("%d comparisons without a body to compare", differ)
		}
		budget.Release(200 << 10)
		b.do("GET", "/a")
		synctest.Wait()
		if differ := count(t, b.metrics, "cacheproxy_requests_total", "would_differ"); differ != 1 || budget.Reserved() != 0 {
			t.Errorf("with room: %d compared as different, want 1; %d bytes left in the budget", differ, budget.Reserved())
		}
	})
}
