package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cacheproxy/writebehind"

	"github.com/valkey-io/valkey-go"
)

// Find returns the record of a write. The error is ErrUnknown if the queue does not have the write.
func (q *Queue) Find(ctx context.Context, id string) (writebehind.Record, error) {
	all, err := q.records(ctx, id)
	if err != nil {
		return writebehind.Record{}, err
	}
	return all[0], nil
}

// records returns the records of writes, with their requests. Unknown writes are left out; for a single id, the error
// is ErrUnknown.
func (q *Queue) records(ctx context.Context, ids ...string) (all []writebehind.Record, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	defer func() { q.options.Observe("queue_look", time.Since(start), err) }()
	client, err := q.options.Connection.Client()
	if err != nil {
		return nil, err
	}
	commands := make([]valkey.Completed, len(ids))
	for i, id := range ids {
		commands[i] = client.B().Hgetall().Key(q.base + "w:" + id).Build()
	}
	for i, result := range client.DoMulti(ctx, commands...) {
		h, err := result.AsStrMap()
		if err != nil {
			return nil, fmt.Errorf("look at write: %w", err)
		}
		if h["s"] != "" {
			all = append(all, recordOf(ids[i], h))
		}
	}
	if len(all) == 0 && len(ids) == 1 {
		return nil, writebehind.ErrUnknown
	}
	return all, nil
}

func recordOf(id string, h map[string]string) writebehind.Record {
	r := writebehind.Record{
		ID: id, State: writebehind.State(h["s"]), Key: h["k"], Route: h["r"], Partition: int(number(h["p"])), Sequence: uint64(number(h["q"])),
		Accepted: moment(h["a"]), Updated: moment(h["u"]), Tried: moment(h["t"]), Attempts: int(number(h["n"])), Status: int(number(h["c"])),
		Problem: h["g"], Blocks: h["b"] == "1", Overtaken: h["v"] == "1",
	}
	if r.State == writebehind.Waiting {
		r.Next = moment(h["x"])
	}
	if h["d"] != "" {
		r.Sealed = []byte(h["d"])
	}
	return r
}

// Last returns the last write of each key. The keys are looked at independently.
func (q *Queue) Last(ctx context.Context, keys ...string) ([]writebehind.Last, error) {
	reply, err := q.ask(ctx, "last", lastScript, keys...)
	if err != nil {
		return nil, err
	}
	if len(reply) != 2*len(keys) {
		return nil, errReply
	}
	all := make([]writebehind.Last, len(keys))
	for i := range all {
		all[i] = writebehind.Last{ID: reply[2*i], Blocked: writebehind.State(reply[2*i+1]) == writebehind.Dead}
	}
	return all, nil
}

// Listed selects the writes for List.
type Listed struct {
	Dead  bool // dead letters; otherwise waiting writes
	Route string
	Most  int
}

// List returns records of writes, oldest first, with their requests.
func (q *Queue) List(ctx context.Context, l Listed) ([]writebehind.Record, error) {
	client, err := q.options.Connection.Client()
	if err != nil {
		return nil, err
	}
	asked, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	const window = 10000 // bound for the writes that are looked through
	var ids []string
	if l.Dead {
		if ids, err = client.Do(asked, client.B().Zrange().Key(q.base+"d").Min("0").Max(strconv.Itoa(window)).Build()).AsStrSlice(); err != nil {
			return nil, fmt.Errorf("list dead letters: %w", err)
		}
	} else {
		for p := range writebehind.Partitions {
			entries, err := client.Do(asked, client.B().Xrange().Key(stream(q.base, p)).Start("-").End("+").Count(window/writebehind.Partitions).Build()).AsXRange()
			if err != nil {
				return nil, fmt.Errorf("list writes: %w", err)
			}
			for _, e := range entries {
				if e.FieldValues["c"] == "" {
					ids = append(ids, e.FieldValues["i"])
				}
			}
		}
	}
	var found []writebehind.Record
	for len(ids) > 0 && len(found) < l.Most {
		n := min(len(ids), 200)
		some, err := q.records(ctx, ids[:n]...)
		if err != nil && !missing(err) {
			return nil, err
		}
		for _, r := range some {
			if (l.Route == "" || r.Route == l.Route) && len(found) < l.Most {
				found = append(found, r)
			}
		}
		ids = ids[n:]
	}
	return found, nil
}

// Stats is the size of the queue.
type Stats struct {
	Depth  map[string]int // by route: writes that are not done, dead letters included
	Oldest time.Duration  // since the oldest write that waits, or blocks its key, was accepted or retried; zero: none
	Dead   int            // dead letters
}

// Stats reads the size of the queue.
func (q *Queue) Stats(ctx context.Context) (s Stats, err error) {
	client, err := q.options.Connection.Client()
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	commands := []valkey.Completed{
		client.B().Hgetall().Key(q.base + "r").Build(), client.B().Zcard().Key(q.base + "d").Build(), client.B().Time().Build(),
	}
	for p := range writebehind.Partitions {
		commands = append(commands, client.B().Xrange().Key(stream(q.base, p)).Start("-").End("+").Count(1).Build())
	}
	results := client.DoMulti(ctx, commands...)
	depth, err := results[0].AsIntMap()
	if err != nil {
		return s, fmt.Errorf("ask how much there is: %w", err)
	}
	s.Depth = map[string]int{}
	for route, n := range depth {
		s.Depth[route] = int(n)
	}
	dead, err := results[1].AsInt64()
	if err != nil {
		return s, fmt.Errorf("ask how much there is: %w", err)
	}
	s.Dead = int(dead)
	clock, err := results[2].AsStrSlice()
	if err != nil || len(clock) != 2 {
		return s, fmt.Errorf("ask how much there is: %w", errReply)
	}
	now := number(clock[0])*1e6 + number(clock[1])
	for _, result := range results[3:] {
		entries, err := result.AsXRange()
		if err != nil {
			return s, fmt.Errorf("ask how much there is: %w", err)
		}
		for _, e := range entries {
			at, _, _ := strings.Cut(e.ID, "-")
			s.Oldest = max(s.Oldest, time.Duration(now-number(at))*time.Microsecond)
		}
	}
	return s, nil
}

// Retry has a dead letter tried again. The errors are ErrUnknown, ErrNotDead and, unless forced, ErrLater. If forced,
// the write becomes the last write of its key.
func (q *Queue) Retry(ctx context.Context, id string, forced bool) error {
	reply, err := q.ask(ctx, "decide", retryScript, id, flag(forced))
	if err != nil {
		return err
	}
	return word(reply)
}

// Drop ends a dead letter. If forced, Drop also ends a waiting write that is not at the origin. The errors are
// ErrUnknown and ErrNotDead.
func (q *Queue) Drop(ctx context.Context, id string, forced bool) error {
	reply, err := q.ask(ctx, "decide", dropScript, id, milliseconds(q.options.Keep), flag(forced))
	if err != nil {
		return err
	}
	if err = word(reply); forced && errors.Is(err, writebehind.ErrNotDead) {
		return fmt.Errorf("%w, and does not wait either: it is at the origin, or ended", err)
	}
	return err
}

// Register records the routes in force on this instance, each as a text, and returns the routes of all instances, each
// with the time since it became known. Routes that no instance has stay for keep, and for as long as any write waits.
func (q *Queue) Register(ctx context.Context, routes []string, keep time.Duration) (map[string]time.Duration, error) {
	reply, err := q.ask(ctx, "register", registerScript, append([]string{milliseconds(keep)}, routes...)...)
	if err != nil {
		return nil, err
	}
	all := map[string]time.Duration{}
	for ; len(reply) >= 2; reply = reply[2:] {
		all[reply[0]] = time.Duration(number(reply[1])) * time.Millisecond
	}
	return all, nil
}
