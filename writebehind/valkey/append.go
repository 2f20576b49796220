package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	durable "cacheproxy/durable/valkey"
	"cacheproxy/writebehind"

	"github.com/valkey-io/valkey-go"
)

// ProofOf returns the proof that the server has to give before a write is accepted.
func ProofOf(d writebehind.Durability) durable.Proof {
	if d == writebehind.Replicas {
		return durable.OnReplica
	}
	return durable.OnDisk
}

// Run appends writes until ctx ends. Run must be called only once.
func (q *Queue) Run(ctx context.Context) error {
	q.committer.Run(ctx)
	return nil
}

// Append adds a write, and returns once the write is as safe as its route demands. With ErrNotSafe, the write may be in
// the queue. With any other error, the write is not in the queue.
func (q *Queue) Append(ctx context.Context, e *writebehind.Entry) (receipt writebehind.Receipt, err error) {
	answer, err := q.committer.Do(ctx, durable.Call{Script: appendScript, Base: q.base, Args: arguments(e), Proof: ProofOf(e.Rules.Durability)})
	switch {
	case errors.Is(err, durable.ErrUnknown):
		return receipt, fmt.Errorf("%w: %w", writebehind.ErrNotSafe, err)
	case err != nil:
		return receipt, fmt.Errorf("append write: %w", err)
	}
	reply, err := durable.Texts(answer.Reply, errReply)
	if said, ok := valkey.IsValkeyErr(err); ok { // the server has refused the write, so the queue does not have it
		return receipt, fmt.Errorf("append write: %w", said)
	}
	switch {
	case err != nil:
		return receipt, fmt.Errorf("%w: %w", writebehind.ErrNotSafe, err)
	case len(reply) == 2 && reply[0] == "FULL":
		return receipt, fmt.Errorf("%w of the %s", writebehind.ErrFull, reply[1])
	case len(reply) != 4 || reply[0] != "OK" && reply[0] != "SAME":
		return receipt, word(reply)
	}
	receipt = writebehind.Receipt{ID: reply[1], State: writebehind.State(reply[2]), Accepted: moment(reply[3]), Known: reply[0] == "SAME"}
	if answer.Unproved != nil {
		return receipt, fmt.Errorf("%w: %w", writebehind.ErrNotSafe, answer.Unproved)
	}
	return receipt, nil
}

func arguments(e *writebehind.Entry) []string {
	repeats := "0"
	if e.Repeats {
		repeats = "1"
	}
	args := []string{
		strconv.Itoa(writebehind.PartitionOf(e.Key)), e.ID, e.Key, e.Route, strconv.Itoa(e.Rules.MaxQueued), strconv.Itoa(e.Rules.MaxPerKey),
		repeats, string(e.Sealed),
	}
	for _, i := range e.Identities {
		args = append(args, i.Name, i.Payload)
	}
	return args
}
