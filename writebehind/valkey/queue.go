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

// Options is what a Queue works with. Connection, Prefix and Instance are required.
type Options struct {
	Connection *connection.Connection // of its own: what waits for a disk would delay heartbeats
	Prefix     string                 // of every key
	Instance   string                 // name of this process; no other has it, nor will one
	Lease      time.Duration          // of a partition; zero: 5s
	Timeout    time.Duration          // for what the server is asked; zero: 2s
	Keep       time.Duration          // for how long is known what has become of a write; zero: 24h
	// Observe is called with how long an operation took and how it ended. Nil: nobody counts.
	Observe func(op string, took time.Duration, err error)
}

// Queue is the writes on a server that wait for their origin. It is safe for concurrent use, but for Read.
type Queue struct {
	options   Options
	base      string // of every key
	committer *durable.Committer
}

// New makes a queue. It dials nothing, and Run has to run for Append to return.
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

// Lease is how long an owner keeps a partition without a word.
func (q *Queue) Lease() time.Duration { return q.options.Lease }

var errReply = errors.New("reply of the queue is not understood")

// ask runs a script, and gives its reply as texts. The first says what came of it.
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

// word is what a reply says, as an error where it is no good.
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
	n, _ := strconv.ParseInt(text, 10, 64) // what cannot be read counts as nothing, as a field that is not there
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

// CheckServer says what keeps the server from promising what a route asks of it; nil: nothing, as far as it says.
func (q *Queue) CheckServer(ctx context.Context, durability writebehind.Durability) error {
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	client, err := q.options.Connection.Client()
	if err != nil {
		return err
	}
	return durable.Check(ctx, client, ProofOf(durability))
}
