package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy"
)

// WriteLocks lets one of all instances at a time make a write of a key.
type WriteLocks interface {
	// Lock waits until no other instance has the key. It fails when ctx ends, or who has it cannot be known. Unlock must be called once.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// maxTurns is how many writes of one key may wait for their turn in this process.
const maxTurns = 64

// turns lets writes of one key go one after the other. The zero value is ready, for a process that runs alone, and safe for concurrent use.
//
// Invariant: of the writes of one key, one has the turn, the others wait in the order in which they came, and only the one that has the turn
// asks for the lock among the instances. So each instance waits there once for each key, whatever its clients do.
type turns struct {
	locks WriteLocks // nil: there are no other instances
	mu    lockorder.Mutex[lockorder.Turns]
	lines map[string][]chan struct{} // of each key that has somebody's turn, those who wait; guarded by mu
}

var errNoTurn = errors.New("too many writes of one key wait for their turn")

// take waits for the turn of a key, and gives what ends it, which must be called once. alone says that it is enough to have the turn in this
// process where who has it among the instances cannot be known.
func (t *turns) take(ctx context.Context, key string, alone bool) (end func(), err error) {
	if err := t.enter(ctx, key); err != nil {
		return nil, err
	}
	unlock := func() {}
	if t.locks != nil {
		held, err := t.locks.Lock(ctx, key)
		switch {
		case err == nil:
			unlock = held
		case ctx.Err() != nil || !alone:
			t.leave(key)
			return nil, err
		}
	}
	return func() {
		defer t.leave(key)
		unlock()
	}, nil
}

// enter waits for the turn in this process.
func (t *turns) enter(ctx context.Context, key string) error {
	t.mu.Lock()
	line, taken := t.lines[key]
	if !taken {
		if t.lines == nil {
			t.lines = map[string][]chan struct{}{}
		}
		t.lines[key] = nil
		t.mu.Unlock()
		return nil
	}
	if len(line) >= maxTurns {
		t.mu.Unlock()
		return errNoTurn
	}
	turn := make(chan struct{})
	t.lines[key] = append(line, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	line = t.lines[key]
	at := slices.Index(line, turn)
	if at >= 0 {
		t.lines[key] = slices.Delete(line, at, at+1)
	}
	t.mu.Unlock()
	if at < 0 { // it has got the turn meanwhile
		t.leave(key)
	}
	return ctx.Err()
}

// leave gives the turn to the next.
func (t *turns) leave(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.lines[key]
	if len(line) == 0 {
		delete(t.lines, key)
		return
	}
	close(line[0])
	t.lines[key] = line[1:]
}

var (
	turnsFull = refusal{http.StatusServiceUnavailable, policy.SerialFull, "too many writes before this one wait for their turn, so it was not made; try again"}
	turnLate  = refusal{http.StatusServiceUnavailable, policy.SerialTimeout, "the writes before this one are not done yet, so it was not made; try again"}
	turnDown  = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable,
		"it cannot be known whether another instance makes a write of the same, so this one was not made; try again"}
)

// inTurn waits for the turn of a write whose route makes those of one key one after the other, for as long as the upstream may take for one. It
// gives what ends the turn; where there is none, the write is answered, and end is nil.
//
// What is only let by because its route is observed or off waits for nobody. What is outside of a mode's share waits: it would be at the origin
// beside those inside.
func inTurn(ex *exchange) (end func()) {
	if mode, _ := ex.route.mode(ex.start); !ex.route.SerializesWrites || mode != policy.On {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(ex.r.Context(), ex.route.Origin.Timeout())
	defer cancel()
	waited := ex.route.Metrics.AwaitsTurn()
	end, err := ex.p.turns.take(ctx, ex.route.Upstream+" "+ownKey(&ex.request), !ex.route.RefusesWrites)
	waited(err != nil)
	switch {
	case err == nil:
		return end
	case ex.r.Context().Err() != nil:
		ex.gone()
	case errors.Is(err, errNoTurn):
		shed(ex, turnsFull)
	case ctx.Err() != nil:
		shed(ex, turnLate)
	default:
		refuseLater(ex, turnDown)
	}
	return nil
}

// shed refuses a request for which there is no place, and which may come again.
func shed(ex *exchange, r refusal) {
	ex.settle(policy.Status{Outcome: policy.Shed, Reason: r.why})
	setRetryAfter(ex.w.Header(), time.Second)
	ex.answer(r.code, r.text)
}
