package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/lockorder"
)

const (
	// syncCount is how many entries one heartbeat brings at most.
	syncCount = 500
	// confirmFirst is the pause before the first heartbeat while somebody waits for other instances. These hear of
	// the entry when this instance does, and say so. confirmEvery is the pause between the heartbeats that follow.
	confirmFirst, confirmEvery = 10 * time.Millisecond, 5 * time.Millisecond
	// fetchEvery is the pause while an instance is live whose entries the server does not tell to all listeners.
	fetchEvery = 5 * time.Millisecond
	// confirmHurry is how long confirmEvery applies after a writer has begun to wait. After that an instance is
	// probably dead, and heartbeats come at a tenth of their usual pause.
	confirmHurry = 100 * time.Millisecond
	// confirmSteady is the pause where somebody has waited at all times for longer than confirmHurry, and others have
	// begun to wait since. One heartbeat serves all of them. However many writes there are, each instance sends the
	// server no more heartbeats than that.
	confirmSteady = 10 * time.Millisecond
	tidyEvery     = 10 * time.Second
	tidyAtMost    = 2000 // marks, of each sort, in one step
)

// syncer carries the follower's requests to the server and the replies back, and carries out the steps that the
// follower returns.
type syncer struct {
	options       Options
	keys          keys
	heartbeat     time.Duration // pause between heartbeats
	replyTimeout  time.Duration // for the reply to one heartbeat
	follower      *fleet.Follower
	confirmations *confirmations
	writer        *writer
	hinter        *hinter

	kick    chan struct{} // has room for one
	recount chan struct{} // has room for one: somebody has begun to wait for other instances
	applied broadcast     // sends when entries have been applied
	contact contact

	// mu is held during a heartbeat, across the heartbeat's I/O. So leave waits for the heartbeat that is under way.
	// Otherwise that heartbeat could register this instance again after leave has taken it off the list, and the next
	// purge would wait for a process that has ended.
	mu     lockorder.Mutex[lockorder.Syncer]
	left   bool      // set by leave; guarded by mu
	tidied time.Time // guarded by mu
	looked time.Time // when the server last checked whether its log is whole; guarded by mu
	// recoveries counts the recovery steps that have followed each other; guarded by mu
	recoveries int
	damaged    uint64    // how often somebody has damaged the log; guarded by mu
	toldDamage time.Time // when damage was last logged; guarded by mu

	suspect atomic.Bool // the writer has met a key of another type
}

// run sends heartbeats until ctx ends: at regular intervals, when there is something new, and often while somebody
// waits for other instances.
func (s *syncer) run(ctx context.Context) error {
	var failing bool
	for ctx.Err() == nil {
		step, err := s.sync(ctx)
		switch {
		case err == nil && failing:
			failing = false
			s.options.Log.Info("log of invalidations reached again", "position", s.follower.Applied())
		case err != nil && !failing && ctx.Err() == nil && !errors.Is(err, errLeft) && !s.contact.last().IsZero():
			failing = true
			s.options.Log.Error("log of invalidations not reached; copies are trusted until the lease lapses", "lease", s.options.Lease.String(), "error", err)
		}
		more := s.contact.alive.Load() && s.writer.writeDue(ctx)
		if err == nil && (more || step == fleet.SyncAgain) {
			continue
		}
		s.pause(ctx, err)
	}
	return nil
}

// pause waits until the next heartbeat is due, or a reason to send it earlier comes.
func (s *syncer) pause(ctx context.Context, failed error) {
	kick, recount, began := s.kick, s.recount, time.Now()
	if failed != nil {
		kick, recount = nil, nil // waiting callers do not bring the server back earlier
	}
	for {
		wait := s.heartbeat
		if failed == nil {
			wait = s.untilNext(began)
		}
		select {
		case <-recount:
			continue
		case <-time.After(wait):
		case <-kick:
		case <-ctx.Done():
		}
		return
	}
}

// untilNext returns how long the next heartbeat has to wait in a pause that began at began. Under load somebody waits
// at all times. So the pace follows the newest waiter: if the oldest alone counted, all would wait at the slow pace
// because the oldest came so long ago.
func (s *syncer) untilNext(began time.Time) time.Duration {
	if !s.follower.View().AllSpeak {
		return max(0, fetchEvery-time.Since(began))
	}
	oldest, newest := s.confirmations.since()
	if oldest.IsZero() {
		return s.heartbeat
	}
	wait := s.heartbeat / 10
	switch {
	case time.Since(oldest) < 3*confirmFirst:
		wait = confirmFirst
	case time.Since(oldest) < confirmHurry:
		wait = confirmEvery
	case time.Since(newest) < confirmHurry:
		wait = confirmSteady
	}
	return max(confirmFirst-time.Since(oldest), wait-time.Since(began))
}

// wake makes the next heartbeat come at once, unless the last one has failed.
func (s *syncer) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

var errLeft = errors.New("this instance has left")

// leave takes this instance off the server's list. No heartbeat follows.
func (s *syncer) leave(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
	client, err := s.options.Connection.Client()
	if err != nil {
		return err
	}
	if err := leaveScript.Run(ctx, client, s.list(), []string{historyText(s.follower.View().History), s.options.Instance}).Error(); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	return nil
}

// list returns the keys of the scripts that take instances off the list.
func (s *syncer) list() []string {
	return []string{s.keys.meta, s.keys.live, s.keys.leases, s.keys.vouch}
}

// sync sends one heartbeat and carries out the step that the reply asks for.
func (s *syncer) sync(ctx context.Context) (fleet.Step, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return fleet.Idle, errLeft
	}
	client, err := s.options.Connection.Client()
	if err != nil {
		return fleet.Idle, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.replyTimeout)
	defer cancel()
	q := s.follower.Request(time.Now())
	awaited, _ := s.confirmations.since()
	brief := !awaited.IsZero() && q.Sent.Sub(s.looked) < s.heartbeat
	if !brief {
		s.looked = q.Sent
	}
	r, err := s.send(ctx, client, q, brief)
	s.options.observe("sync", q.Sent, err)
	if err != nil {
		s.contact.failed(err)
		return fleet.Idle, fmt.Errorf("follow log: %w", err)
	}
	now := time.Now()
	step := s.follower.Receive(q, r.SyncReply, now)
	s.contact.replied(now)
	s.hinter.on(r.Server) // the hinter is to listen to this server
	s.deliver()
	if len(r.Terms) > 0 {
		s.confirmations.lose()
	}
	switch step {
	case fleet.CreateLog:
		return s.recovered(s.create(ctx, client, r.amiss))
	case fleet.FetchSnapshot:
		return s.recovered(s.foreign(ctx, client, s.fetchSnapshot(ctx, client)))
	case fleet.CompareLogs:
		return s.recovered(s.foreign(ctx, client, s.compare(ctx, client)))
	}
	if s.suspect.Swap(false) {
		return s.recovered(s.create(ctx, client, ""))
	}
	s.recoveries = 0
	if r.Status == fleet.Current {
		s.confirm(ctx, client, r.Live, now)
	}
	if step == fleet.Idle {
		s.tidy(ctx, client)
	}
	return step, nil
}

// send runs the script that carries out a request on the server.
func (s *syncer) send(ctx context.Context, client commander, q fleet.SyncRequest, brief bool) (reading, error) {
	me := fleet.Peer{Name: s.options.Instance, Beat: q.Beat, Applied: q.Applied, Owes: q.Owes, Lease: q.Lease, Term: q.Term, Held: q.Held}
	k := s.keys
	result := syncScript.Run(ctx, client, []string{k.meta, k.terms, k.log, k.live, k.leases, k.vouch, k.hard, k.soft, k.fences, k.notices, k.signed}, []string{
		historyText(q.History), s.options.Instance, strconv.FormatUint(q.Beat, 10), strconv.FormatUint(q.Applied, 10),
		nonceText(q.Nonce), strconv.Itoa(syncCount), strconv.FormatInt(q.Retention.Milliseconds(), 10),
		fmt.Sprintf("%08x", q.Term), flag(q.Owes), milliseconds(q.Lease), milliseconds(q.Held),
		s.options.Signer.signHeartbeat(q.History, me), flag(brief), q.Edition, milliseconds(q.Longest),
	})
	if wrongType(result.Error()) {
		return reading{SyncReply: fleet.SyncReply{Status: fleet.NoHistory}}, nil
	}
	r, err := readSyncReply(result, s.options.Signer, q.History)
	if r.unread != nil {
		s.options.Log.Warn("entry of another version invalidates everything", "error", r.unread)
	}
	return r, err
}

// deliver passes the follower's events to the waiters, and the notices among them to OnNotice. The caller holds mu.
func (s *syncer) deliver() {
	events := s.follower.Events()
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		if e.Notice.Subject != "" && !e.Lost && s.options.OnNotice != nil {
			s.options.OnNotice(e.Notice)
		}
	}
	if s.confirmations.deliver(events, s.follower) {
		select {
		case s.recount <- struct{}{}:
		default:
		}
	}
	s.applied.send()
}

// hear applies entries that came beside the heartbeats, in their order (fleet R19), and reports whether all are
// applied.
func (s *syncer) hear(entries []fleet.Heard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.deliver()
	now := time.Now()
	for _, e := range entries {
		if e.Seq <= s.follower.Applied() {
			continue // a heartbeat has brought this entry
		}
		if s.left || !s.follower.Hear(e, now) {
			return false
		}
	}
	return true
}

// confirm tells the waiters whose entries hold everywhere, and takes the instances off the list whose lease must have
// lapsed.
func (s *syncer) confirm(ctx context.Context, client commander, live []fleet.Peer, now time.Time) {
	suspected := map[fleet.Peer]bool{}
	for _, p := range s.follower.Suspected(now) {
		suspected[p] = true
	}
	for _, p := range s.confirmations.observe(live, now) {
		suspected[p] = true
	}
	for p := range suspected {
		s.reap(ctx, client, p)
	}
}

func (s *syncer) reap(ctx context.Context, client commander, p fleet.Peer) {
	r, err := newReader(reapScript.Run(ctx, client, s.list(), []string{historyText(s.follower.View().History), p.Name, p.Entry}))
	switch {
	case err != nil:
		s.options.Log.Warn("dead instance not taken off the list", "instance", p.Name, "error", err)
		return
	case r.text() != "OK" || r.text() != "1":
		// The instance's heartbeat has changed since, or another instance was faster.
		return
	}
	s.options.Log.Warn("instance is dead, or cut off for longer than its lease, and was taken off the list", "instance", p.Name)
}

// tidy has the server forget marks, once in tidyEvery. The caller holds mu.
func (s *syncer) tidy(ctx context.Context, client commander) {
	if time.Since(s.tidied) < tidyEvery {
		return
	}
	k, v := s.keys, s.follower.View()
	r, err := newReader(tidyScript.Run(ctx, client, []string{k.meta, k.hard, k.soft, k.clock, k.live, k.leases, k.vouch}, []string{
		historyText(v.History), milliseconds(invalidation.MaxFill), strconv.Itoa(tidyAtMost), milliseconds(v.LogLease), milliseconds(v.Longest),
	}))
	if err != nil {
		if wrongType(err) {
			s.suspect.Store(true)
		}
		s.options.Log.Warn("old marks not forgotten on the server", "error", err)
		s.tidied = time.Now()
		return
	}
	if r.text() == "OK" && r.text() != "0" {
		return // the next heartbeat continues
	}
	s.tidied = time.Now()
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}
