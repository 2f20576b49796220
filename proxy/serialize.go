package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"cacheproxy/lockorder"
	"cacheproxy/policy"
)

// WriteLocks are locks, by key, that all instances share. An implementation must be safe for concurrent use.
type WriteLocks interface {
	// Lock waits until this instance holds the lock of the key. Lock fails when ctx ends, or when the store of the
	// locks cannot tell which instance holds the lock. The caller must call unlock once.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// maxTurns is how many writes of one key may wait for their turn in this process.
const maxTurns = 64

// turns serializes the writes of each key. The zero value is ready, for a process that runs alone, and safe for
// concurrent use.
//
// Invariant: of the writes of one key in this process, one has the turn, and the others wait in the order in which they
// came. Only the write that has the turn asks for the lock that instances share. So each instance waits for that lock
// once for each key, however many clients the instance has.
type turns struct {
	locks   WriteLocks // nil: there are no other instances
	mu      lockorder.Mutex[lockorder.Turns]
	waiting map[string][]chan struct{} // by key, the writes that wait, the next one first; a key is present while a write has its turn; guarded by mu
}

var errNoTurn = errors.New("too many writes of one key wait for their turn")

// take waits for the turn of a key. The caller must call end once. alone says that the turn in this process is enough
// if the shared lock fails for another reason than the end of ctx. The error is errNoTurn, the error of ctx, or an
// error of WriteLocks.
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

// enter waits for the turn of a key in this process.
func (t *turns) enter(ctx context.Context, key string) error {
	t.mu.Lock()
	line, taken := t.waiting[key]
	if !taken {
		if t.waiting == nil {
			t.waiting = map[string][]chan struct{}{}
		}
		t.waiting[key] = nil
		t.mu.Unlock()
		return nil
	}
	if len(line) >= maxTurns {
		t.mu.Unlock()
		return errNoTurn
	}
	turn := make(chan struct{})
	t.waiting[key] = append(line, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	line = t.waiting[key]
	at := slices.Index(line, turn)
	if at >= 0 {
		t.waiting[key] = slices.Delete(line, at, at+1)
	}
	t.mu.Unlock()
	if at < 0 { // leave gave this write the turn before this goroutine had the lock again: the turn is passed on
		t.leave(key)
	}
	return ctx.Err()
}

// leave ends the turn of a key in this process, and gives the turn to the write that has waited longest.
func (t *turns) leave(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.waiting[key]
	if len(line) == 0 {
		delete(t.waiting, key)
		return
	}
	close(line[0])
	t.waiting[key] = line[1:]
}

var (
	turnsFull = refusal{http.StatusServiceUnavailable, policy.SerialFull, "too many writes before this one wait for their turn, so it was not made; try again"}
	turnLate  = refusal{http.StatusServiceUnavailable, policy.SerialTimeout, "the writes before this one are not done yet, so it was not made; try again"}
	turnDown  = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable,
		"it cannot be known whether another instance makes a write of the same, so this one was not made; try again"}
)

// inTurn waits for the turn of a write, if the route serializes writes of one key, for at most the upstream's timeout.
// The caller must call end once. A nil end means that the write has been refused.
//
// On a route that is observed or off, writes do not wait. Writes outside the share of a mode do wait: otherwise they
// would be at the origin at the same time as writes inside the share.
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

// shed refuses, with outcome Shed, a request for which there is no place.
func shed(ex *exchange, r refusal) {
	ex.settle(policy.Status{Outcome: policy.Shed, Reason: r.why})
	ex.answer(r.code, r.text)
}
