package behind

import (
	"io"
	"net/http"
	"strconv"
	"sync"
)

// origin has registers, twice: those that heed X-Write-Sequence, and those that do not.
type origin struct {
	mu        sync.Mutex
	down      bool
	checked   map[string]string
	plain     map[string]string
	last      map[string]uint64
	seen      map[string]int // how often each idempotency key came
	writes    int
	backwards int // writes that came after a later one of their register
}

func newOrigin() *origin {
	return &origin{checked: map[string]string{}, plain: map[string]string{}, last: map[string]uint64{}, seen: map[string]int{}}
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its sender is gone in the middle of it
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.Method != http.MethodPut {
		return
	}
	o.writes++
	o.seen[r.Header.Get("Idempotency-Key")]++
	o.plain[r.URL.Path] = string(body)
	text := r.Header.Get("X-Write-Sequence")
	if text == "" { // it went through, after those before it
		o.checked[r.URL.Path] = string(body)
		return
	}
	sequence, err := strconv.ParseUint(text, 10, 64)
	if err != nil || sequence < o.last[r.URL.Path] {
		o.backwards++
		return
	}
	o.last[r.URL.Path], o.checked[r.URL.Path] = sequence, string(body)
}

func (o *origin) setDown(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}
