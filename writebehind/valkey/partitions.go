package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cacheproxy/writebehind"

	"github.com/valkey-io/valkey-go"
)

const (
	// block is how long a read waits for new entries. readAtOnce bounds the entries of each partition in a read.
	block      = 200 * time.Millisecond
	readAtOnce = 256
)

// Tend renews the leases of this instance, and takes free partitions up to the instance's share. Leases count from
// before, the time of the request.
func (q *Queue) Tend(ctx context.Context) (owned []writebehind.Ownership, before time.Time, err error) {
	before = time.Now()
	reply, err := q.ask(ctx, "tend", tendScript, q.options.Instance, strconv.Itoa(writebehind.Partitions), milliseconds(q.options.Lease))
	if err != nil {
		return nil, before, err
	}
	for rest := reply[min(1, len(reply)):]; len(rest) >= 3; rest = rest[3:] {
		owned = append(owned, writebehind.Ownership{Partition: int(number(rest[0])), Token: uint64(number(rest[1])), Surplus: rest[2] == "give"})
	}
	return owned, before, nil
}

// Release gives a partition back.
func (q *Queue) Release(ctx context.Context, o writebehind.Ownership) error {
	_, err := q.ask(ctx, "release", releaseScript, strconv.Itoa(o.Partition), q.owner(o))
	return err
}

// Leave removes this instance from the list of those that share the partitions.
func (q *Queue) Leave(ctx context.Context) error {
	_, err := q.ask(ctx, "release", leaveScript, q.options.Instance)
	return err
}

// owner identifies the owner of a partition on the server.
func (q *Queue) owner(o writebehind.Ownership) string {
	return q.options.Instance + " " + strconv.FormatUint(o.Token, 10)
}

func stream(base string, partition int) string { return base + "q:" + strconv.Itoa(partition) }

// Watch calls read with the new entries of partitions, until ctx ends. want returns the partitions to read, each with
// the entry after which to read. If want returns none, or the server does not answer, Watch waits a moment.
func (q *Queue) Watch(ctx context.Context, want func() map[int]string, read func([]writebehind.News)) error {
	for ctx.Err() == nil {
		client, err := q.options.Connection.Client()
		if err == nil {
			err = q.watch(ctx, client, want, read)
		}
		if err != nil && ctx.Err() == nil {
			q.options.Observe("queue_read", 0, err)
		}
		select {
		case <-time.After(block):
		case <-ctx.Done():
		}
	}
	return nil
}

func (q *Queue) watch(ctx context.Context, client valkey.Client, want func() map[int]string, read func([]writebehind.News)) error {
	c, release := client.Dedicate() // own connection, which can be closed: a client waits for its blocked commands
	defer release()
	defer context.AfterFunc(ctx, c.Close)()
	for ctx.Err() == nil {
		var streams, after []string
		partitions := map[string]int{}
		for p, entry := range want() {
			streams, after = append(streams, stream(q.base, p)), append(after, entry)
			partitions[streams[len(streams)-1]] = p
		}
		if len(streams) == 0 {
			return nil
		}
		found, err := c.Do(ctx, c.B().Xread().Count(readAtOnce).Block(block.Milliseconds()).Streams().Key(streams...).Id(after...).Build()).AsXRead()
		switch {
		case valkey.IsValkeyNil(err):
			continue
		case err != nil:
			return fmt.Errorf("read queue: %w", err)
		}
		var all []writebehind.News
		for name, entries := range found {
			for _, e := range entries {
				all = append(all, writebehind.News{
					Partition: partitions[name], Decision: e.FieldValues["c"],
					Ref: writebehind.Ref{Entry: e.ID, ID: e.FieldValues["i"], Key: e.FieldValues["k"]},
				})
			}
		}
		read(all)
	}
	return nil
}

// Forget removes an entry that brought a decision, or whose write is decided.
func (q *Queue) Forget(ctx context.Context, o writebehind.Ownership, entry string) error {
	reply, err := q.ask(ctx, "settle", forgetScript, strconv.Itoa(o.Partition), q.owner(o), "", entry)
	if err != nil {
		return err
	}
	return word(reply)
}

// Begin records that a write is about to be sent, and returns the write. before is its state until then. If before is
// sending, an earlier owner may have sent the write, and a new try is recorded only if the write may be repeated. If
// Next is after Updated, the write must not be tried before Next, and nothing is recorded; Updated is the server's
// clock. The errors are ErrNotOwner and ErrUnknown, besides those of the connection.
func (q *Queue) Begin(ctx context.Context, o writebehind.Ownership, id string) (r writebehind.Record, before writebehind.State, err error) {
	reply, err := q.ask(ctx, "begin", beginScript, strconv.Itoa(o.Partition), q.owner(o), id)
	if err != nil {
		return r, "", err
	}
	r.ID = id
	if len(reply) == 3 && reply[0] == "IS" {
		r.State, r.Blocks = writebehind.State(reply[1]), reply[2] == "1"
		return r, r.State, nil
	}
	if err := word(reply); err != nil {
		return r, "", err
	}
	if len(reply) != 9 {
		return r, "", errReply
	}
	r.State, r.Sealed = writebehind.State(reply[1]), []byte(reply[2])
	r.Attempts, r.Tried, r.Sequence, r.Accepted = int(number(reply[3])), moment(reply[4]), uint64(number(reply[5])), moment(reply[6])
	r.Updated, r.Next = moment(reply[7]), moment(reply[8])
	return r, r.State, nil
}

// Settle records the outcome of a try, and the pause before the next. The errors are ErrNotOwner and ErrUnknown,
// besides those of the connection.
func (q *Queue) Settle(ctx context.Context, o writebehind.Ownership, id string, of writebehind.Outcome) error {
	reply, err := q.ask(ctx, "settle", settleScript, strconv.Itoa(o.Partition), q.owner(o), id, string(of.State), strconv.Itoa(of.Status), of.Problem, flag(of.Blocks),
		milliseconds(q.options.Keep), milliseconds(of.Wait), milliseconds(of.AtWork))
	if err != nil {
		return err
	}
	return word(reply)
}

// missing reports whether an error says that the queue does not have the write.
func missing(err error) bool { return errors.Is(err, writebehind.ErrUnknown) }
