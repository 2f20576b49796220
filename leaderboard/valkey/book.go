package valkey

import (
	"context"
	"strconv"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/lockorder"
)

// book is this instance's knowledge of routes and boards on the server. Goroutines of requests, of the sweep and of the
// archiver use it under mu.
type book struct {
	mu     lockorder.Mutex[lockorder.Boards]
	routes map[string]*route // by name
}

// route is the knowledge of one route on the server.
type route struct {
	incarnation string
	reading     string               // the incarnation that is being loaded
	boards      map[string]time.Time // when each board was last registered, by the clock of this process
	open        map[string]openBucket
}

// registered is how long a board counts as registered. A sweep waits longer before it takes a board for given up.
const registered = time.Minute

// route returns the entry of a route. The caller holds mu.
func (b *book) route(rules *leaderboard.Rules) *route {
	if b.routes[rules.Route] == nil {
		b.routes[rules.Route] = &route{boards: map[string]time.Time{}, open: map[string]openBucket{}}
	}
	return b.routes[rules.Route]
}

// known returns the last known incarnation, and whether a board was registered within registered.
func (b *book) known(rules *leaderboard.Rules, board string) (incarnation string, lately bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.route(rules)
	at, ok := known.boards[board]
	if ok && time.Since(at) >= registered {
		delete(known.boards, board)
		ok = false
	}
	return known.incarnation, ok
}

// learn records the incarnation, and, if board is not empty, the time at which the board was registered.
func (b *book) learn(rules *leaderboard.Rules, incarnation, board string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.route(rules)
	if known.incarnation = incarnation; board != "" {
		known.boards[board] = at
	}
}

// reading returns the incarnation that Empty last returned. The server has lost what was loaded for an earlier
// incarnation.
func (b *book) reading(rules *leaderboard.Rules) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.route(rules).reading
}

// read records the incarnation that is to be loaded.
func (b *book) read(rules *leaderboard.Rules, incarnation string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.route(rules)
	known.incarnation, known.reading = incarnation, incarnation
}

// openBucket is the knowledge of a board's open bucket.
type openBucket struct {
	start       time.Time
	last, taken string // the last stamp when Owed was called, and the last stamp that the archive has taken
}

// news records the last stamp of an open bucket, and reports whether the archive has not taken it.
func (b *book) news(rules *leaderboard.Rules, of leaderboard.Bucket, last string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.route(rules).open
	is := open[of.Board]
	if !is.start.Equal(of.Start) {
		is = openBucket{start: of.Start}
	}
	is.last = last
	open[of.Board] = is
	return is.last != is.taken
}

// taken records that the archive has taken an open bucket, in the state at the last call of Owed.
func (b *book) taken(rules *leaderboard.Rules, of leaderboard.Bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.route(rules).open
	if is := open[of.Board]; is.start.Equal(of.Start) {
		is.taken = is.last
		open[of.Board] = is
	}
}

// state is what the route's records say of a board.
type state struct {
	incarnation string
	loading     bool
	live        bool // submissions were recorded
}

func stateOf(reply []string) (state, error) {
	if len(reply) != 5 || reply[0] != "OK" {
		return state{}, errReply
	}
	return state{incarnation: reply[1], loading: reply[2] == "1" || reply[1] == "", live: reply[3] == "l"}, nil
}

// state reads the state of a board, without registering the board.
func (r *Records) state(ctx context.Context, rules *leaderboard.Rules, board string) (state, error) {
	reply, err := r.ask(ctx, "state", stateScript, r.base(rules), board)
	if err != nil {
		return state{}, err
	}
	s, err := stateOf(reply)
	if err == nil {
		r.book.learn(rules, s.incarnation, "", time.Time{})
	}
	return s, err
}

// register registers a board before a submission.
func (r *Records) register(ctx context.Context, rules *leaderboard.Rules, board string) (state, error) {
	before := time.Now()
	reply, err := r.ask(ctx, "register", registerScript, r.base(rules), board, strconv.Itoa(rules.MaxBoards))
	if err != nil {
		return state{}, err
	}
	if reply[0] == "MANY" {
		return state{}, leaderboard.ErrTooManyBoards
	}
	s, err := stateOf(reply)
	if err == nil {
		r.book.learn(rules, s.incarnation, board, before)
	}
	return s, err
}

// fault marks an incarnation as incomplete, so that the records are loaded again.
func (r *Records) fault(ctx context.Context, rules *leaderboard.Rules, incarnation string) error {
	_, err := r.ask(ctx, "fault", faultScript, r.base(rules), incarnation)
	return err
}
