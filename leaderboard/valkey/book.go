package valkey

import (
	"context"
	"strconv"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/lockorder"
)

// book is what this instance knows of routes and boards on the server.
type book struct {
	mu     lockorder.Mutex[lockorder.Boards]
	routes map[string]*route // by name
}

// route is what is known of a route on the server.
type route struct {
	incarnation string
	reading     string               // the incarnation that is being read back
	boards      map[string]time.Time // when they were last registered, by the clock of this process
	open        map[string]openBucket
}

// registered is for how long a board counts as registered: shorter than what a sweep waits for before it takes one for given up.
const registered = time.Minute

// route is under mu.
func (b *book) route(rules *leaderboard.Rules) *route {
	if b.routes[rules.Route] == nil {
		b.routes[rules.Route] = &route{boards: map[string]time.Time{}, open: map[string]openBucket{}}
	}
	return b.routes[rules.Route]
}

// known is the incarnation as it was last heard of, and whether a board was registered lately.
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

// learn notes the incarnation, and where a board is given, that it was registered at a time.
func (b *book) learn(rules *leaderboard.Rules, incarnation, board string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.route(rules)
	if known.incarnation = incarnation; board != "" {
		known.boards[board] = at
	}
}

// reading is the incarnation of which Empty has last told. What was put back of one before is not there any more.
func (b *book) reading(rules *leaderboard.Rules) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.route(rules).reading
}

// read notes which incarnation is to be read back.
func (b *book) read(rules *leaderboard.Rules, incarnation string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.route(rules)
	known.incarnation, known.reading = incarnation, incarnation
}

// openBucket is what is known of the bucket of a board that is open.
type openBucket struct {
	start       time.Time
	last, taken string // the last stamp when Owed was asked, and when the archive had taken it
}

// news notes the last stamp of an open bucket, and reports whether the archive has not taken it.
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

// taken notes that the archive has taken an open bucket, as it was when Owed was asked.
func (b *book) taken(rules *leaderboard.Rules, of leaderboard.Bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.route(rules).open
	if is := open[of.Board]; is.start.Equal(of.Start) {
		is.taken = is.last
		open[of.Board] = is
	}
}

// state is what the route knows of a board.
type state struct {
	incarnation string
	loading     bool
	live        bool // something was recorded
}

func stateOf(reply []string) (state, error) {
	if len(reply) != 5 || reply[0] != "OK" {
		return state{}, errReply
	}
	return state{incarnation: reply[1], loading: reply[2] == "1" || reply[1] == "", live: reply[3] == "l"}, nil
}

// state asks for it. The board is not registered by that.
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

// register notes a board that is about to be written to.
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

// fault has the records read back.
func (r *Records) fault(ctx context.Context, rules *leaderboard.Rules, incarnation string) error {
	_, err := r.ask(ctx, "fault", faultScript, r.base(rules), incarnation)
	return err
}
