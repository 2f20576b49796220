package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

const (
	// syncCount is how many entries one heartbeat brings at most.
	syncCount = 500
	// confirmEvery is the pause between heartbeats while somebody waits for other instances.
	confirmEvery = 2 * time.Millisecond
	// patientAfter is for how long that pause is kept; after that an instance is probably dead, and heartbeats come at a
	// tenth of their usual pause.
	patientAfter = 100 * time.Millisecond
	tidyEvery    = 10 * time.Second
	tidyAtMost   = 2000 // marks, of each sort, in one step
)

// follow asks and hears until ctx ends: at every heartbeat, when there is something new, and often while somebody waits for
// other instances.
func (l *Log) follow(ctx context.Context) error {
	var failing bool
	for ctx.Err() == nil {
		step, err := l.beat(ctx)
		switch {
		case err == nil && failing:
			failing = false
			l.options.Log.Info("log of invalidations reached again", "position", l.State().Position)
		case err != nil && !failing && ctx.Err() == nil && !errors.Is(err, errLeft) && !l.contact.last().IsZero():
			failing = true
			l.options.Log.Error("log of invalidations not reached; copies are trusted until the lease lapses", "lease", l.options.Lease.String(), "error", err)
		}
		more := l.writeDue(ctx)
		if err == nil && (more || step == fleet.AskAgain) {
			continue
		}
		l.pause(ctx, err)
	}
	return nil
}

// pause waits for the next heartbeat, or for a reason to be earlier.
func (l *Log) pause(ctx context.Context, failed error) {
	wait := l.heartbeat
	if since := l.confirmations.since(); failed == nil && !since.IsZero() {
		wait = l.heartbeat / 10
		if time.Since(since) < patientAfter {
			wait = confirmEvery
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	kick := l.kick
	if failed != nil {
		kick = nil // whoever waits for the server does not make it come back earlier
	}
	select {
	case <-timer.C:
	case <-kick:
	case <-ctx.Done():
	}
}

// wake has the next heartbeat come at once.
func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

var errLeft = errors.New("this instance has left")

// beat is one heartbeat and what its answer asks for.
func (l *Log) beat(ctx context.Context) (fleet.Step, error) {
	l.beating.Lock()
	defer l.beating.Unlock()
	if l.left {
		return fleet.Rest, errLeft
	}
	client, err := l.options.Connection.Client()
	if err != nil {
		return fleet.Rest, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	q := l.follower.Ask(time.Now())
	a, err := l.ask(ctx, client, q)
	l.observe("sync", q.Sent, err)
	if err != nil {
		l.contact.failed()
		return fleet.Rest, fmt.Errorf("follow log: %w", err)
	}
	now := time.Now()
	step := l.follower.Hear(q, a, now)
	l.contact.heard(now, a)
	l.deliver()
	switch step {
	case fleet.Found:
		return fleet.AskAgain, l.found(ctx, client)
	case fleet.Fetch:
		return fleet.AskAgain, l.fetch(ctx, client)
	case fleet.Compare:
		return fleet.AskAgain, l.compare(ctx, client)
	}
	if a.Status == fleet.Current {
		l.confirm(ctx, client, a.Live, now)
	}
	if step == fleet.Rest {
		l.tidy(ctx, client)
	}
	return step, nil
}

func (l *Log) ask(ctx context.Context, client commander, q fleet.Question) (fleet.Answer, error) {
	result := syncScript.run(ctx, client, []string{l.keys.meta, l.keys.terms, l.keys.log, l.keys.live}, []string{
		historyText(q.History), l.options.Instance, strconv.FormatUint(q.Beat, 10), strconv.FormatUint(q.Applied, 10),
		nonceText(q.Nonce), strconv.Itoa(syncCount), strconv.FormatInt(q.Retention.Milliseconds(), 10),
		fmt.Sprintf("%08x", q.Term), flag(q.Owes),
	})
	a, unread, err := answer(result, l.alone)
	if unread != nil {
		l.options.Log.Warn("entry of another version invalidates everything", "error", unread)
	}
	if known := a.Status != fleet.NoHistory && a.Status != fleet.OtherHistory; known && a.Server == "" {
		a.Server = l.contact.server() // INFO is not allowed: after a break it may be any
	}
	return a, err
}

// found begins a history, unless another instance has done so.
func (l *Log) found(ctx context.Context, client commander) error {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	fresh := fleet.NewHistory(random)
	k := l.keys
	_, err := foundScript.run(ctx, client, []string{k.meta, k.log, k.hard, k.soft, k.fences, k.notices, k.live, k.clock, k.terms},
		[]string{historyText(fresh)}).ToString()
	if err != nil {
		return fmt.Errorf("begin log: %w", err)
	}
	return nil
}

// compare reads the log backwards until it meets what was applied here.
func (l *Log) compare(ctx context.Context, client commander) error {
	const page = 1000
	for end := "+"; ; {
		entries, err := client.Do(ctx, client.B().Xrevrange().Key(l.keys.log).End(end).Start("-").Count(page).Build()).AsXRange()
		if err != nil && !valkey.IsValkeyNil(err) {
			return fmt.Errorf("compare logs: %w", err)
		}
		var places []fleet.Place
		for _, e := range entries {
			var p fleet.Place
			if _, err := fmt.Sscanf(e.ID, "%d-0", &p.Seq); err != nil {
				return fmt.Errorf("compare logs: %w: entry %q", errAnswer, e.ID)
			}
			p.Nonce, _ = strconv.ParseUint(e.FieldValues["n"], 16, 64) // what cannot be read is not in common
			places = append(places, p)
		}
		common, found := l.follower.Common(places)
		if found || len(entries) < page {
			l.options.Log.Warn("server has lost the end of the log; it is written again", "common", common.Seq, "found", found)
			l.follower.Diverge(common, found, time.Now())
			l.deliver()
			return nil
		}
		end = "(" + entries[len(entries)-1].ID
	}
}

// tidy has marks forgotten, now and then.
func (l *Log) tidy(ctx context.Context, client commander) {
	if time.Since(l.tidied) < tidyEvery {
		return
	}
	k := l.keys
	r, err := newReader(tidyScript.run(ctx, client, []string{k.meta, k.hard, k.soft, k.clock}, []string{
		l.historyNow(), strconv.FormatInt(invalidation.MaxFill.Milliseconds(), 10), strconv.Itoa(tidyAtMost),
	}))
	if err != nil {
		l.options.Log.Warn("old marks not forgotten on the server", "error", err)
		l.tidied = time.Now()
		return
	}
	if r.text() == "OK" && r.text() != "0" {
		return // more at the next heartbeat
	}
	l.tidied = time.Now()
}

// hints watches the log for new entries, which then are fetched at once. It is only a hint: heartbeats bring what it misses.
func (l *Log) hints(ctx context.Context) error {
	const block = 2 * time.Second
	for ctx.Err() == nil {
		client, err := l.options.Connection.Client()
		if err == nil {
			err = l.hint(ctx, client, block)
		}
		if err != nil {
			select {
			case <-time.After(l.heartbeat):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func (l *Log) hint(ctx context.Context, client valkey.Client, block time.Duration) error {
	// A connection of its own, which can be closed: a client waits for its blocked commands.
	c, release := client.Dedicate()
	defer release()
	defer context.AfterFunc(ctx, c.Close)()
	for ctx.Err() == nil {
		applied := l.follower.Applied()
		after := strconv.FormatUint(applied, 10) + "-0"
		err := c.Do(ctx, c.B().Xread().Count(1).Block(block.Milliseconds()).Streams().Key(l.keys.log).Id(after).Build()).Error()
		switch {
		case valkey.IsValkeyNil(err):
			continue
		case err != nil:
			return fmt.Errorf("watch log: %w", err)
		}
		l.wake()
		// Until the entry is applied, the same hint would come again at once.
		l.awaitBeyond(ctx, applied)
	}
	return nil
}

// awaitBeyond waits, for no longer than a heartbeat, until more than this is applied.
func (l *Log) awaitBeyond(ctx context.Context, seq uint64) {
	timer := time.NewTimer(l.heartbeat)
	defer timer.Stop()
	for {
		applied := l.applied.wait()
		if l.follower.Applied() != seq {
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

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}
