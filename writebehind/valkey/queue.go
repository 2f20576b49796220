package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	durable "cacheproxy/durable/valkey"
	connection "cacheproxy/invalidation/valkey"
	"cacheproxy/writebehind"
)

// Options are the dependencies and settings of a Queue. Connection, Prefix and Instance are required.
type Options struct {
	Connection *connection.Connection // for the Queue alone: waiting for a disk would delay heartbeats
	Prefix     string                 // begins every key
	Instance   string                 // name of this process, which no other process ever has
	Lease      time.Duration          // of a partition; zero: 5s
	Timeout    time.Duration          // for a call of the server; zero: 2s
	Keep       time.Duration          // how long the state of a decided write is kept; zero: 24h
	// Observe, if not nil, is called with the duration and the error of each operation.
	Observe func(op string, took time.Duration, err error)
}

// Queue holds the writes that wait for their origin, on a server. All methods are safe for concurrent use, but Run must
// run only once.
type Queue struct {
	options   Options
	base      string // begins every key
	committer *durable.Committer
}

// New makes a queue, and connects to nothing. Append returns only while Run runs.
func New(o Options) *Queue {
	if o.Lease == 0 {
		o.Lease = 5 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Keep == 0 {
		o.Keep = 24 * time.Hour
	}
	if o.Observe == nil {
		o.Observe = func(string, time.Duration, error) {}
	}
	observe := func(took time.Duration, err error) { o.Observe("queue_append", took, err) }
	return &Queue{options: o, base: "{" + o.Prefix + "}:wb:", committer: durable.NewCommitter(o.Connection.Client, o.Timeout, observe)}
}

// Lease is how long an owner keeps a partition without renewal.
func (q *Queue) Lease() time.Duration { return q.options.Lease }

var errReply = errors.New("reply of the queue is not understood")

// ask runs a script, and returns the reply as texts. The first text is the outcome.
func (q *Queue) ask(ctx context.Context, op string, s *durable.Script, args ...string) (reply []string, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	client, err := q.options.Connection.Client()
	if err == nil {
		keys, args := durable.At(q.base, args)
		reply, err = durable.Texts(s.Run(ctx, client, keys, args), errReply)
	}
	q.options.Observe("queue_"+op, time.Since(start), err)
	if err != nil {
		return nil, fmt.Errorf("%s writes: %w", op, err)
	}
	return reply, nil
}

// word turns the outcome in a reply into an error; nil: the outcome is OK.
func word(reply []string) error {
	if len(reply) == 0 {
		return errReply
	}
	switch reply[0] {
	case "OK":
		return nil
	case "LOST":
		return writebehind.ErrNotOwner
	case "GONE":
		return writebehind.ErrUnknown
	case "OTHER":
		return writebehind.ErrOtherPayload
	case "LATER":
		return writebehind.ErrLater
	case "ALIVE":
		return writebehind.ErrNotDead
	}
	return fmt.Errorf("%w: it begins with %q", errReply, reply[0])
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // a text that is no number counts as an absent field
	return n
}

func moment(ms string) time.Time {
	n := number(ms)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(set bool) string {
	if set {
		return "1"
	}
	return ""
}

// CheckServer says why the server cannot give the durability that a route asks for; nil: the server's settings show no
// reason.
func (q *Queue) CheckServer(ctx context.Context, durability writebehind.Durability) error {
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	client, err := q.options.Connection.Client()
	if err != nil {
		return err
	}
	return durable.Check(ctx, client, ProofOf(durability))
}
