package valkey

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// create begins a log, unless another instance has done so.
func (s *syncer) create(ctx context.Context, client commander) error {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	fresh := fleet.NewHistory(random)
	k := s.keys
	previous := ""
	if followed := s.follower.View().History; followed != (fleet.History{}) {
		previous = historyText(followed)
	}
	_, err := createScript.run(ctx, client, []string{k.meta, k.log, k.hard, k.soft, k.fences, k.notices, k.live, k.leases, k.clock, k.terms, k.signed},
		[]string{historyText(fresh), previous}).ToString()
	if err != nil {
		return fmt.Errorf("begin log: %w", err)
	}
	return nil
}

// fetchSnapshot reads a snapshot and installs it in the follower.
func (s *syncer) fetchSnapshot(ctx context.Context, client valkey.Client) error {
	reader := snapshotReader{client: client, keys: s.keys, pageTimeout: 10 * s.replyTimeout, signer: s.options.Signer, log: s.options.Log}
	snapshot, state, err := reader.read(ctx)
	switch {
	case err != nil:
		return err
	case state == noLog:
		return nil // the next heartbeat begins one
	case state == evicted:
		s.options.Log.Error("server has evicted keys of the log, and a new one begins; its maxmemory-policy must be noeviction or volatile-*")
		return s.create(ctx, client)
	}
	s.follower.InstallSnapshot(snapshot, time.Now())
	s.deliver()
	return nil
}

// compare reads the log backwards to the last entry that was applied here too, and has the follower go back to that entry (R9).
func (s *syncer) compare(ctx context.Context, client commander) error {
	const page = 1000
	for end := "+"; ; {
		entries, err := client.Do(ctx, client.B().Xrevrange().Key(s.keys.log).End(end).Start("-").Count(page).Build()).AsXRange()
		if err != nil && !valkey.IsValkeyNil(err) {
			return fmt.Errorf("compare logs: %w", err)
		}
		var places []fleet.Place
		for _, e := range entries {
			var p fleet.Place
			if _, err := fmt.Sscanf(e.ID, "%d-0", &p.Seq); err != nil {
				return fmt.Errorf("compare logs: %w: entry %q", errReply, e.ID)
			}
			p.Nonce, _ = strconv.ParseUint(e.FieldValues["n"], 16, 64) // what cannot be read is not in common
			places = append(places, p)
		}
		common, found := s.follower.LastCommon(places)
		if found || len(entries) < page {
			s.options.Log.Warn("server has lost the end of the log; it is written again", "common", common.Seq, "found", found)
			s.follower.Rewind(common, found, time.Now())
			s.deliver()
			return nil
		}
		end = "(" + entries[len(entries)-1].ID
	}
}
