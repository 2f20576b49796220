package api

import (
	"context"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/lockorder"
)

// maxTops bounds the bytes of the answers that are kept.
const maxTops = 16 << 20

// boardID is a board of a route in one configuration. Another configuration may format another answer.
type boardID struct {
	route *Route
	board string
}

// tops holds the tops of boards that were just read. A reader that comes during a read waits for that read. The zero
// value is ready, and safe for concurrent use.
//
// A reader sees everything that the desk acknowledged before. The race: a read of the records may begin before a
// submission, and end after its acknowledgement. So an acknowledgement drops all answers of its board, those of running
// reads included.
type tops struct {
	mu    lockorder.Mutex[lockorder.Tops]
	read  map[boardID]map[int]*top
	bytes int
}

// top is one answer, or a running read. fill writes body and err before it closes done, and readers read them
// afterwards.
type top struct {
	begun time.Time // before the records were read
	done  chan struct{}
	body  []byte // valid once done is closed
	err   error
}

// of returns the answer with the first n places of a board, and the time at which its read began. load reads the answer
// from the records.
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

// fill reads an answer for all that wait. A failed read is not kept for later readers.
func (t *tops) fill(id boardID, n int, f *top, load func() ([]byte, error)) {
	f.err = context.Canceled // the error of the waiting readers if load panics
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

// drop makes the next reader of a board read the records.
func (t *tops) drop(id boardID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.read, id)
}

// concerns reports whether a submission may have changed an answer with the first places of a board.
func concerns(r *Route, receipts []leaderboard.Receipt) bool {
	if r.Rules.Aggregate != leaderboard.Best && r.Rules.Aggregate != leaderboard.Lowest {
		return true // a player that falls leaves a place to others
	}
	if r.Rules.Top == 0 && r.Shape.Board.uses("players") {
		return true // a new player at any rank changes the count, and a receipt does not say whether its player is new
	}
	for _, of := range receipts {
		if of.Loading || of.Rank > 0 && of.Rank <= int64(r.Most()) {
			return true
		}
	}
	return false
}
