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

// ProofOf is what a server has to prove of a write before it is accepted.
func ProofOf(d writebehind.Durability) durable.Proof {
	if d == writebehind.Replicas {
		return durable.OnReplica
	}
	return durable.OnDisk
}

// Run appends what comes until ctx ends. It runs once.
func (q *Queue) Run(ctx context.Context) error {
	q.committer.Run(ctx)
	return nil
}

// Append takes a write in, and returns once it is as safe as the route asks. With ErrOtherPayload and ErrFull it is not in the queue; with
// ErrNotSafe it may be; with any other error it is not.
func (q *Queue) Append(ctx context.Context, e *writebehind.Entry) (receipt writebehind.Receipt, err error) {
	answer, err := q.committer.Do(ctx, durable.Call{Script: appendScript, Base: q.base, Args: arguments(e), Proof: ProofOf(e.Rules.Durability)})
	switch {
	case errors.Is(err, durable.ErrUnknown):
		return receipt, fmt.Errorf("%w: %w", writebehind.ErrNotSafe, err)
	case err != nil:
		return receipt, fmt.Errorf("append write: %w", err)
	}
	reply, err := durable.Texts(answer.Reply, errReply)
	if said, ok := valkey.IsValkeyErr(err); ok { // it was refused, and is not there
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
