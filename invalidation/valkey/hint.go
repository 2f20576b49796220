package valkey

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// hinter watches the log for new entries, and takes them in, so that an entry is applied at once and not at the next heartbeat. Where it
// cannot take one in (fleet R19) it wakes the syncer. Nothing rests on the hinter: heartbeats bring what it misses.
type hinter struct {
	connection *Connection
	keys       keys
	instance   string
	signer     *Signer // without it nothing tells what an entry follows on: then the hinter only wakes
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
	// So that the server knows the script, which is sent by its hash below.
	if err := h.introduce(ctx, c); err != nil {
		return fmt.Errorf("watch log: %w", err)
	}
	for acknowledges := false; ctx.Err() == nil; {
		history, place := h.follower.Place()
		after := strconv.FormatUint(place.Seq, 10) + "-0"
		read := c.B().Xread().Count(syncCount).Block(block.Milliseconds()).Streams().Key(h.keys.log).Id(after).Build()
		// Both in one message to the server, since both are sent for every write. How the first went is known when the second is answered;
		// where it was in vain, the next heartbeat acknowledges.
		var result valkey.ValkeyResult
		if acknowledges {
			keys, args := h.acknowledgement(history, place)
			results := c.DoMulti(ctx, ackScript.command(c, keys, args), read)
			if err := results[0].Error(); unknownScript(err) {
				return fmt.Errorf("watch log: %w", err)
			}
			result = results[1]
		} else {
			result = c.Do(ctx, read)
		}
		acknowledges = false
		streams, err := result.AsXRead()
		switch {
		case valkey.IsValkeyNil(err):
			continue
		case err != nil:
			return fmt.Errorf("watch log: %w", err)
		}
		applied := h.follower.Applied() // before the syncer can go beyond it, which would go unnoticed below
		all, awaited := h.hear(history, streams[h.keys.log])
		if acknowledges = all && awaited; all {
			continue
		}
		h.syncer.wake()
		// Until the entry is applied, the same hint would come again at once.
		h.awaitBeyond(ctx, applied)
	}
	return nil
}

func (h *hinter) introduce(ctx context.Context, c commander) error {
	keys, args := h.acknowledgement(h.follower.Place())
	return ackScript.run(ctx, c, keys, args).Error()
}

// acknowledgement tells the server, and so whoever waits for it, what is applied here.
func (h *hinter) acknowledgement(history fleet.History, at fleet.Place) (keys, args []string) {
	return []string{h.keys.meta, h.keys.log, h.keys.live}, []string{historyText(history), h.instance, strconv.FormatUint(at.Seq, 10), nonceText(at.Nonce)}
}

// hear takes in what was read after an entry of a history.
func (h *hinter) hear(history fleet.History, items []valkey.XRangeEntry) (all, awaited bool) {
	if h.signer != nil {
		return false, false
	}
	entries := make([]fleet.Heard, 0, len(items))
	for _, item := range items {
		record, err := entryOf(item, nil, history)
		previous, failed := strconv.ParseUint(item.FieldValues["p"], 16, 64)
		if err != nil || failed != nil || !strings.HasSuffix(item.ID, "-0") {
			return false, false // a heartbeat tells what to make of it
		}
		entries = append(entries, fleet.Heard{Record: record, Previous: previous})
	}
	return h.syncer.hear(entries)
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
