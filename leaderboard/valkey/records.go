package valkey

import (
	durable "cacheproxy/durable/valkey"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	connection "cacheproxy/invalidation/valkey"
	"cacheproxy/leaderboard"

	"github.com/valkey-io/valkey-go"
)

// Options are the dependencies of Records. Connection and Prefix are required.
type Options struct {
	Connection *connection.Connection // for the Records alone: waiting for a disk would delay heartbeats
	Prefix     string                 // begins every key
	Timeout    time.Duration          // for a call of the server; zero: 2s
	// Rules returns the rules of the routes in force, whose boards Run tends while nobody reads them or submits. Nil:
	// no boards are tended.
	Rules func() []*leaderboard.Rules
	// Observe, if not nil, is called with the duration and the error of each operation.
	Observe func(op string, took time.Duration, err error)
}

// Records implements leaderboard.Records and leaderboard.Source on a server. They are safe for concurrent use.
type Records struct {
	options   Options
	chunk     int          // bound for the entries that leave a window in one script
	late      atomic.Int64 // by how many microseconds the server's clock is ahead of this one, as last learned
	book      book
	committer *durable.Committer
}

var _ interface {
	leaderboard.Records
	leaderboard.Source
} = (*Records)(nil)

// New makes Records, and connects to nothing. Run has to run for a submission to be as durable as its route demands.
func New(o Options) *Records {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Observe == nil {
		o.Observe = func(string, time.Duration, error) {}
	}
	return &Records{options: o, chunk: 500, book: book{routes: map[string]*route{}}, committer: durable.NewCommitter(o.Connection.Client, o.Timeout, func(time.Duration, error) {})}
}

var (
	errReply = errors.New("reply of the records is not understood")
	errSlide = errors.New("window does not get to where it should be")
)

// base begins the keys of a route, and board those of one of its boards. Each has a hash slot of its own.
func (r *Records) base(rules *leaderboard.Rules) string {
	return "{" + r.options.Prefix + ":lb:" + url.QueryEscape(rules.Route) + "}:"
}

func (r *Records) board(rules *leaderboard.Rules, board string) string {
	return "{" + r.options.Prefix + ":lb:" + url.QueryEscape(rules.Route) + ":" + url.QueryEscape(board) + "}:"
}

// ask runs a script, and returns the reply as texts. The first text is the outcome.
func (r *Records) ask(ctx context.Context, op string, s *durable.Script, base string, args ...string) (reply []string, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	client, err := r.options.Connection.Client()
	if err == nil {
		keys, args := durable.At(base, args)
		reply, err = texts(s.Run(ctx, client, keys, args))
	}
	r.options.Observe("leaderboard_"+op, time.Since(start), err)
	if err != nil {
		return nil, fmt.Errorf("%s of board: %w", op, err)
	}
	return reply, nil
}

func texts(r valkey.ValkeyResult) ([]string, error) {
	all, err := durable.Texts(r, errReply)
	if said, ok := valkey.IsValkeyErr(err); ok && strings.HasPrefix(said.Error(), "OOM") {
		return nil, fmt.Errorf("%w: %w", leaderboard.ErrFull, err)
	}
	if err == nil && len(all) == 0 {
		return nil, errReply
	}
	return all, err
}

var aggregates = map[leaderboard.Aggregate]string{
	leaderboard.Best: "best", leaderboard.Lowest: "best", leaderboard.Sum: "sum", leaderboard.Last: "last", leaderboard.Every: "every",
}

// arguments are the first arguments of each script of a board, at the time that the server's clock presumably shows.
func (r *Records) arguments(rules *leaderboard.Rules, incarnation string) []string {
	span, ties := "rolling", "earlier"
	var from, to int64
	switch rules.Window.Span {
	case leaderboard.AllTime:
		span = "all"
	case leaderboard.Day, leaderboard.Week:
		span = "period"
		start, end := rules.Window.Period(time.UnixMicro(time.Now().UnixMicro() + r.late.Load()))
		from, to = start.UnixMicro(), end.UnixMicro()
	}
	if rules.Ties == leaderboard.ByName {
		ties = "name"
	}
	return []string{
		aggregates[rules.Aggregate], ties, strconv.Itoa(rules.Top), span, micros(rules.Window.Length), micros(rules.Window.Bucket), number(from), number(to),
		truth(rules.Archived), truth(rules.Submitted), incarnation, strconv.Itoa(r.chunk), signature(rules),
	}
}

// signature covers the rules that cannot change while records exist: those that decide order and identity of members.
func signature(rules *leaderboard.Rules) string {
	w := rules.Window
	location := "UTC"
	if w.Location != nil {
		location = w.Location.String()
	}
	return fmt.Sprint(rules.Aggregate, rules.Ties, rules.Top > 0, w.Span, w.Bucket, location)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func micros(d time.Duration) string { return number(d.Microseconds()) }

func truth(b bool) string {
	if b {
		return "1"
	}
	return ""
}

// learn records the time of the server's clock.
func (r *Records) learn(clock string) {
	us, err := strconv.ParseInt(clock, 10, 64)
	if err == nil {
		r.late.Store(us - time.Now().UnixMicro())
	}
}

// order converts a score to z, by which the server orders, least first, and back. The result is never a negative zero.
func order(rules *leaderboard.Rules, score float64) float64 {
	if rules.Aggregate == leaderboard.Lowest {
		return score + 0
	}
	return 0 - score
}

func decimal(z float64) string { return strconv.FormatFloat(z, 'g', 17, 64) }

// insist runs a script of a board until the window has slid, and the period is that of the server's clock.
func (r *Records) insist(ctx context.Context, op string, s *durable.Script, rules *leaderboard.Rules, incarnation, board string, args ...string) ([]string, error) {
	for tries := 0; ctx.Err() == nil; tries++ {
		reply, err := r.ask(ctx, op, s, r.board(rules, board), append(r.arguments(rules, incarnation), args...)...)
		switch {
		case err != nil:
			return nil, err
		case reply[0] == "AGAIN":
			tries = 0 // each reply has done a part
		case reply[0] == "RULES":
			return nil, leaderboard.ErrOtherRules
		case reply[0] == "LOADING":
			return nil, leaderboard.ErrLoading
		case reply[0] != "TIME":
			return reply, nil
		case len(reply) != 2 || tries > 8:
			return nil, errSlide
		default:
			r.learn(reply[1])
		}
	}
	return nil, fmt.Errorf("%s of board: %w", op, ctx.Err())
}

func moment(us string) (time.Time, error) {
	n, err := strconv.ParseInt(us, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", errReply, err)
	}
	return time.UnixMicro(n).UTC(), nil
}
