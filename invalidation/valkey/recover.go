package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// recoveries bounds the recoveries that follow each other without a pause. One recovery begins, reads or compares the
// log in a few steps. A stranger who damages the log time and again must not keep the instances busy with recoveries
// alone.
const recoveries = 4

// gone is the result of amiss for a log whose last entry was lost.
const gone = "gone"

// recovered returns the next step after a step that was to bring this instance back into the log.
func (s *syncer) recovered(err error) (fleet.Step, error) {
	s.confirmations.lose()
	s.recoveries++
	if s.recoveries > recoveries {
		return fleet.Idle, err
	}
	return fleet.SyncAgain, err
}

// wrongType reports whether a key holds something of another type than the log has there.
func wrongType(err error) bool {
	var said *valkey.ValkeyError
	return errors.As(err, &said) && strings.Contains(said.Error(), "WRONGTYPE")
}

// foreign treats the log as damaged if a command met a key of another type, and begins a log. foreign returns any
// other error as it is.
func (s *syncer) foreign(ctx context.Context, client commander, err error) error {
	if !wrongType(err) {
		return err
	}
	return s.create(ctx, client, "")
}

// create begins a log, unless another instance has begun one. item is the id of an item of the present log that may
// be no entry.
func (s *syncer) create(ctx context.Context, client commander, item string) error {
	began := time.Now()
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	fresh := historyText(fleet.NewHistory(random))
	k := s.keys
	previous := ""
	if followed := s.follower.View().History; followed != (fleet.History{}) {
		previous = historyText(followed)
	}
	r, err := newReader(createScript.Run(ctx, client, []string{k.meta, k.log, k.hard, k.soft, k.fences, k.notices, k.live, k.leases, k.clock, k.terms, k.signed, k.vouch},
		[]string{fresh, previous, item}))
	if err != nil {
		return fmt.Errorf("begin log: %w", err)
	}
	history, why := r.text(), r.text()
	if r.err != nil {
		return fmt.Errorf("begin log: %w", r.err)
	}
	if history == fresh && why != "" {
		s.tell(began, why)
	}
	return nil
}

// tell logs why a log began anew. For a stranger's writes tell logs at most one line a minute: the stranger may write
// again at once.
func (s *syncer) tell(began time.Time, why string) {
	if why == gone {
		s.options.Log.Error("server has evicted keys of the log, and a new one begins; its maxmemory-policy must be noeviction or volatile-*")
		return
	}
	s.options.observe("sync", began, ErrForeign)
	s.damaged++
	if !s.toldDamage.IsZero() && began.Sub(s.toldDamage) < signatureWarnings {
		return
	}
	s.toldDamage = began
	s.options.Log.Error("somebody who is no instance has written to the log of invalidations in Valkey; a new log begins, and every copy is confirmed by its origin once", "found", why, "times", s.damaged)
}

// fetchSnapshot reads a snapshot and installs it in the follower.
func (s *syncer) fetchSnapshot(ctx context.Context, client valkey.Client) error {
	reader := snapshotReader{client: client, keys: s.keys, pageTimeout: 10 * s.replyTimeout, signer: s.options.Signer, log: s.options.Log}
	snapshot, state, err := reader.read(ctx)
	switch {
	case err != nil:
		return err
	case state == noLog:
		return nil // the next heartbeat begins a log
	case state == damaged:
		return s.create(ctx, client, "")
	}
	s.follower.InstallSnapshot(snapshot, time.Now())
	s.deliver()
	return nil
}

// compare reads the log backwards to the last entry that was applied here too, and has the follower go back to that
// entry (R9).
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
			seq, ofEntry := strings.CutSuffix(e.ID, "-0")
			p.Seq, _ = strconv.ParseUint(seq, 10, 64)
			p.Nonce, err = strconv.ParseUint(e.FieldValues["n"], 16, 64)
			if ofEntry && err == nil { // an item that is no entry is not in common
				places = append(places, p)
			}
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
