package valkey

import (
	"context"
	"errors"
	"fmt"
	"sync"

	durable "cacheproxy/durable/valkey"
	"cacheproxy/leaderboard"

	"github.com/valkey-io/valkey-go"
)

var proofs = map[leaderboard.Durability]durable.Proof{
	leaderboard.InMemory: durable.InMemory, leaderboard.Synced: durable.OnDisk, leaderboard.Replicas: durable.OnReplica,
}

// ProofOf returns the proof that the server has to give for a submission.
func ProofOf(d leaderboard.Durability) durable.Proof { return proofs[d] }

// Run makes submissions durable, and tends the boards, until ctx ends. Run must be called only once.
func (r *Records) Run(ctx context.Context) error {
	var sweeping sync.WaitGroup
	sweeping.Go(func() { r.sweep(ctx) })
	r.committer.Run(ctx)
	sweeping.Wait()
	return nil
}

// commit runs submitScript, and returns once the result is as durable as d demands. Only a submission that was
// recorded, at this call or an earlier one, needs the proof.
func (r *Records) commit(ctx context.Context, d leaderboard.Durability, base string, args []string) ([]string, error) {
	answer, err := r.committer.Do(ctx, durable.Call{Script: submitScript, Base: base, Args: args, Proof: ProofOf(d)})
	switch {
	case errors.Is(err, durable.ErrUnknown):
		return nil, fmt.Errorf("%w: %w", leaderboard.ErrNotDurable, err)
	case err != nil:
		return nil, fmt.Errorf("submit scores: %w", err)
	}
	reply, err := texts(answer.Reply)
	if _, said := valkey.IsValkeyErr(err); said || errors.Is(err, leaderboard.ErrFull) { // refused, not recorded
		return nil, fmt.Errorf("submit scores: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", leaderboard.ErrNotDurable, err)
	}
	if answer.Unproved != nil && (reply[0] == "OK" || reply[0] == "SAME") {
		return nil, fmt.Errorf("%w: %w", leaderboard.ErrNotDurable, answer.Unproved)
	}
	return reply, nil
}
