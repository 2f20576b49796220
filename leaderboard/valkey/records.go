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

// Options is what Records work with. Connection and Prefix are required.
type Options struct {
	Connection *connection.Connection // of its own: what waits for a disk would delay heartbeats
	Prefix     string                 // of every key
	Timeout    time.Duration          // for what the server is asked; zero: 2s
	// Rules are those of the routes in force, whose boards Run looks after while nobody reads them or submits. Nil: nobody does.
	Rules func() []*leaderboard.Rules
	// Observe is called with how long an operation took and how it ended. Nil: nobody counts.
	Observe func(op string, took time.Duration, err error)
}

// Records are boards on a server. They are safe for concurrent use.
type Records struct {
	options   Options
	chunk     int          // how many entries leave a window at once, before others are served
	late      atomic.Int64 // by how much the server's clock is ahead of this one, in microseconds, as far as is known
	book      book
	committer *durable.Committer
}

var _ interface {
	leaderboard.Records
	leaderboard.Source
} = (*Records)(nil)

// New makes Records. It dials nothing; Run has to run for a submission to be as durable as its route asks.
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

// base begins the keys of a route; board, where it is given, those of one of its boards. Each has a slot of its own.
func (r *Records) base(rules *leaderboard.Rules) string {
	return "{" + r.options.Prefix + ":lb:" + url.QueryEscape(rules.Route) + "}:"
}

func (r *Records) board(rules *leaderboard.Rules, board string) string {
	return "{" + r.options.Prefix + ":lb:" + url.QueryEscape(rules.Route) + ":" + url.QueryEscape(board) + "}:"
}

// ask runs a script, and gives its reply as texts. The first says what came of it.
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

// arguments are those that the scripts of a board begin with, at the time that the server's clock is taken to show.
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

// signature is what of the rules cannot change while there are records: how they are ordered, and by what they are told apart.
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

// learn takes over what the server's clock shows.
func (r *Records) learn(clock string) {
	us, err := strconv.ParseInt(clock, 10, 64)
	if err == nil {
		r.late.Store(us - time.Now().UnixMicro())
	}
}

// order is the score as the server orders by it, and back: least first, and without a zero below zero.
func order(rules *leaderboard.Rules, score float64) float64 {
	if rules.Aggregate == leaderboard.Lowest {
		return score + 0
	}
	return 0 - score
}

func decimal(z float64) string { return strconv.FormatFloat(z, 'g', 17, 64) }

// insist runs a script of a board until its window has slid and its period is that of the server.
func (r *Records) insist(ctx context.Context, op string, s *durable.Script, rules *leaderboard.Rules, incarnation, board string, args ...string) ([]string, error) {
	for tries := 0; ctx.Err() == nil; tries++ {
		reply, err := r.ask(ctx, op, s, r.board(rules, board), append(r.arguments(rules, incarnation), args...)...)
		switch {
		case err != nil:
			return nil, err
		case reply[0] == "AGAIN":
			tries = 0 // each of them has done a part
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
