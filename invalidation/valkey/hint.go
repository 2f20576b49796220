package valkey

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// hinter watches the log for new entries and wakes the syncer, so that an entry is applied at once and not at the next heartbeat.
// Nothing rests on the hinter: heartbeats bring what it misses.
type hinter struct {
	connection *Connection
	log        string // key of the log
	heartbeat  time.Duration
	follower   *fleet.Follower
	syncer     *syncer
}

// run watches until ctx ends.
func (h *hinter) run(ctx context.Context) error {
	const block = 2 * time.Second
	for ctx.Err() == nil {
		client, err := h.connection.Client()
		if err == nil {
			err = h.watch(ctx, client, block)
		}
		if err != nil {
			select {
			case <-time.After(h.heartbeat):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func (h *hinter) watch(ctx context.Context, client valkey.Client, block time.Duration) error {
	// A connection of its own, which can be closed: a client waits for its blocked commands.
	c, release := client.Dedicate()
	defer release()
	defer context.AfterFunc(ctx, c.Close)()
	for ctx.Err() == nil {
		applied := h.follower.Applied()
		after := strconv.FormatUint(applied, 10) + "-0"
		err := c.Do(ctx, c.B().Xread().Count(1).Block(block.Milliseconds()).Streams().Key(h.log).Id(after).Build()).Error()
		switch {
		case valkey.IsValkeyNil(err):
			continue
		case err != nil:
			return fmt.Errorf("watch log: %w", err)
		}
		h.syncer.wake()
		// Until the entry is applied, the same hint would come again at once.
		h.awaitBeyond(ctx, applied)
	}
	return nil
}

// awaitBeyond waits, for no longer than a heartbeat, until an entry after seq is applied.
func (h *hinter) awaitBeyond(ctx context.Context, seq uint64) {
	timer := time.NewTimer(h.heartbeat)
	defer timer.Stop()
	for {
		// Before the look at what is applied: an entry applied between the two would else go unnoticed until the next one.
		applied := h.syncer.applied.wait()
		if h.follower.Applied() != seq {
			return
		}
		select {
		case <-applied:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
