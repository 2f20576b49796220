package hit

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"testing"
)

// someTaken is a connection that takes so many bytes and then fails.
type someTaken struct {
	left   int
	failed int // writes
	bytes.Buffer
}

func (s *someTaken) Write(p []byte) (int, error) {
	n, err := min(len(p), s.left), error(nil)
	if n < len(p) {
		s.failed++
		err = errors.New("no more")
	}
	s.left -= n
	s.Buffer.Write(p[:n])
	return n, err
}

// Of content that does not fit into what is held back, what the connection took is what counts as written, and nothing is written behind a
// write that failed.
func TestWriterCounts(t *testing.T) {
	for _, size := range []int{0, 1, 100, 3000, 6000, outSize - 100, outSize, outSize + 100, 2*outSize - 50, 2 * outSize, 100_000} {
		for _, piece := range []int{size, 700, 20_000} {
			answer := func(taken int) (to *someTaken, wrote int, whole bool) {
				to = &someTaken{left: taken}
				w := &newVisit().writer
				w.begin(to, http.MethodGet, false)
				w.Header().Set("Content-Length", strconv.Itoa(size))
				w.WriteHeader(http.StatusOK)
				for rest := make([]byte, size); len(rest) > 0; {
					n, err := w.Write(rest[:min(piece, len(rest))])
					wrote += n
					if rest = rest[min(piece, len(rest)):]; (err == nil) != (to.failed == 0) {
						t.Errorf("%d bytes, of which %d are taken: write %v", size, taken, err)
					}
				}
				return to, wrote, w.finish()
			}
			to, wrote, whole := answer(1 << 30)
			all := to.Len()
			head := all - size
			if !whole || wrote != size || to.failed > 0 {
				t.Fatalf("%d bytes: wrote %d of %d, whole %v", size, wrote, all, whole)
			}
			for _, taken := range []int{0, 1, head, head + 1, heldBack, outSize - 1, outSize, outSize + 1, all - 1} {
				if taken >= all || taken < 0 {
					continue
				}
				to, wrote, whole := answer(taken)
				least, most := max(0, taken-head), max(0, taken-head)
				if all <= heldBack {
					least, most = size, size
				} else if piece < size {
					most += outSize // gathered by earlier writes
				}
				if whole || to.failed != 1 || wrote < least || wrote > most {
					t.Errorf("%d bytes in pieces of %d, of which %d are taken behind a head of %d: wrote %d, whole %v, %d failed writes", size, piece, taken-head, head, wrote, whole, to.failed)
				}
			}
		}
	}
}
