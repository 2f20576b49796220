package api

import (
	"context"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/lockorder"
)

// maxTops bounds the bytes of the answers that are kept.
const maxTops = 16 << 20

// boardID is a board of a route as it is configured: another configuration may write another answer.
type boardID struct {
	route *Route
	board string
}

// tops are the tops of boards that were just read. A reader who comes while one is read waits for that. The zero value is ready, and safe
// for concurrent use.
//
// What a desk has acknowledged is seen by whoever asks it afterwards: an acknowledgement drops the answers of its board, those too that
// are on their way, because the records may have been read before.
type tops struct {
	mu    lockorder.Mutex[lockorder.Tops]
	read  map[boardID]map[int]*top
	bytes int
}

// top is one answer, or the wait for it.
type top struct {
	begun time.Time // before the records were read
	done  chan struct{}
	body  []byte // once done is closed
	err   error
}

// of gives the answer with the first n places of a board, and when it was asked for. load reads it from the records.
func (t *tops) of(ctx context.Context, id boardID, n int, now time.Time, load func() ([]byte, error)) (body []byte, begun time.Time, err error) {
	t.mu.Lock()
	found := t.read[id][n]
	if found == nil || now.Sub(found.begun) > Fresh {
		found = &top{begun: now, done: make(chan struct{})}
		if t.read == nil || t.bytes > maxTops {
			t.read, t.bytes = map[boardID]map[int]*top{}, 0
		}
		if t.read[id] == nil {
			t.read[id] = map[int]*top{}
		}
		t.read[id][n] = found
		t.bytes += len(id.board) + 256
		t.mu.Unlock()
		t.fill(id, n, found, load)
		return found.body, found.begun, found.err
	}
	t.mu.Unlock()
	select {
	case <-found.done:
		return found.body, found.begun, found.err
	case <-ctx.Done():
		return nil, found.begun, ctx.Err()
	}
}

// fill reads an answer for all who wait. One that failed is for them alone.
func (t *tops) fill(id boardID, n int, f *top, load func() ([]byte, error)) {
	f.err = context.Canceled // of whoever waits, should load panic
	defer func() {
		t.mu.Lock()
		if t.read[id][n] == f {
			if t.bytes += len(f.body); f.err != nil {
				delete(t.read[id], n)
			}
		}
		t.mu.Unlock()
		close(f.done)
	}()
	f.body, f.err = load()
}

// drop has the next reader of a board ask the records.
func (t *tops) drop(id boardID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.read, id)
}

// concerns reports whether what was submitted may have changed the first n places of a board, for the largest n that is kept.
func concerns(r *leaderboard.Rules, receipts []leaderboard.Receipt, most int) bool {
	if r.Aggregate != leaderboard.Best && r.Aggregate != leaderboard.Lowest {
		return true // who falls leaves places to others
	}
	for _, of := range receipts {
		if of.Loading || of.Rank > 0 && of.Rank <= int64(most) {
			return true
		}
	}
	return false
}
