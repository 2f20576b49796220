package valkey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	durable "cacheproxy/durable/valkey"
	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

const (
	// maxBatch is how many entries are written in one round trip.
	maxBatch = 64
	// linger is how long an entry that nobody waits for may wait to be written together with others.
	linger = 10 * time.Millisecond
	// maxDue is how many due records are taken between two heartbeats.
	maxDue = 512
)

var (
	errHistory  = errors.New("write to log: it is another log than the one that is followed")
	errReplicas = errors.New("write to log: too few replicas have the entry")
)

// writer appends entries to the log on the server. One round trip writes the entries that have come during the round
// trip before. Any goroutine may call append and writeDue. Only the goroutine of run writes to the server, one batch
// after the other. All fields are set before run begins, and never change.
type writer struct {
	options      Options
	keys         keys
	replyTimeout time.Duration // for the reply to one batch
	follower     *fleet.Follower
	wake         func()       // has the syncer send a heartbeat at once
	suspect      *atomic.Bool // set where a key of the log has another type
	hinter       *hinter      // entries are written on its session, if there is one
	queue        chan *attempt
}

// attempt is one entry to be written. The writer sets seq and list, and then sends to done. A goroutine that has
// received from done without an error may read seq and list. A caller that gives up earlier reads neither: the entry
// may be written all the same.
type attempt struct {
	record invalidation.Record // with its nonce
	done   chan error          // has room for one, so that the writer never waits for a caller that has given up
	seq    uint64              // of the entry, once the entry is written
	list   fleet.List          // of instances, as of the append
	due    bool                // nobody waits for the entry, but this instance's lease may
	waits  bool                // the caller waits for others to apply the entry
	later  bool                // neither a caller nor the lease waits for the entry
	empty  bool                // no entry: done is sent to when the entries queued before are written
}

// append writes an entry. On an error the entry may be in the log all the same.
func (w *writer) append(ctx context.Context, r invalidation.Record, waits bool) (*attempt, error) {
	a := &attempt{record: r, done: make(chan error, 1), waits: waits}
	select {
	case w.queue <- a:
	case <-ctx.Done():
		return nil, fmt.Errorf("write to log: %w", context.Cause(ctx))
	}
	select {
	case err := <-a.done:
		return a, err
	case <-ctx.Done():
		return nil, fmt.Errorf("write to log: %w", context.Cause(ctx))
	}
}

// later has an entry written soon that nobody waits for. If the entry does not come back in the log, Due hands the
// record out again.
func (w *writer) later(r invalidation.Record) {
	r.Nonce = rand.Uint64()
	select {
	case w.queue <- &attempt{record: r, done: make(chan error, 1), later: true}:
	default: // Due hands the record out again in any case
	}
}

// flush returns when the entries queued before are written, or could not be written.
func (w *writer) flush(ctx context.Context) error {
	a := &attempt{done: make(chan error, 1), empty: true}
	select {
	case w.queue <- a:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run writes the queued entries. One batch holds the entries that have come while the batch before was on its way,
// and with them entries that may be written later.
func (w *writer) run(ctx context.Context) error {
	for {
		var batch []*attempt
		timer := time.NewTimer(linger)
		timer.Stop() // until an entry comes that may wait
		for urgent := false; !urgent && len(batch) < maxBatch; {
			select {
			case a := <-w.queue:
				if batch = append(batch, a); len(batch) == 1 {
					timer.Reset(linger)
				}
				urgent = !a.later
			case <-timer.C:
				urgent = true
			case <-ctx.Done():
				w.turnAway(ctx.Err())
				return nil
			}
		}
		timer.Stop()
		for len(batch) < maxBatch && len(w.queue) > 0 {
			batch = append(batch, <-w.queue)
		}
		w.writeBatch(ctx, batch)
		if slices.ContainsFunc(batch, func(a *attempt) bool { return a.due }) {
			w.wake()
		}
	}
}

// turnAway fails the attempts that are still queued when run ends.
func (w *writer) turnAway(err error) {
	for {
		select {
		case a := <-w.queue:
			a.done <- fmt.Errorf("write to log: %w", err)
		default:
			return
		}
	}
}

func (w *writer) writeBatch(ctx context.Context, all []*attempt) {
	batch := slices.DeleteFunc(slices.Clone(all), func(a *attempt) bool { return a.empty })
	var err error
	if len(batch) > 0 {
		err = w.writeEntries(ctx, batch)
	}
	for _, a := range all {
		a.done <- err
	}
}

func (w *writer) writeEntries(ctx context.Context, batch []*attempt) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.replyTimeout)
	defer cancel()
	client, err := w.options.Connection.Client()
	if err == nil {
		switch s := w.hinter.session.Load(); {
		case w.options.Replicas > 0:
			// WAIT counts only what was written before on the same connection, and delays what comes after it.
			err = client.Dedicated(func(c valkey.DedicatedClient) error { return w.send(ctx, c, "", batch) })
		case s != nil:
			if err = w.send(ctx, s, s.server, batch); err != nil && !errors.Is(err, errHistory) {
				w.hinter.drop(s, err)
			}
		default:
			err = w.send(ctx, client, "", batch)
		}
	}
	w.options.observe("append", start, err)
	return err
}

// send writes a batch in one step. A batch that too few replicas acknowledge in time has failed as a whole: the
// primary has the entries, but a failover may lose them.
func (w *writer) send(ctx context.Context, c commander, server string, batch []*attempt) error {
	keys, args := w.appendArgs(server, batch)
	commands := []valkey.Completed{appendScript.Command(c, keys, args)}
	if w.options.Replicas > 0 {
		commands = append(commands, c.B().Wait().Numreplicas(int64(w.options.Replicas)).Timeout(w.replyTimeout.Milliseconds()/2).Build())
	}
	results := c.DoMulti(ctx, commands...)
	result := results[0]
	if durable.UnknownScript(result.Error()) {
		result = appendScript.Run(ctx, c, keys, args)
		if w.options.Replicas > 0 {
			return errReplicas // the entries were written after WAIT. The next attempt finds the script.
		}
	}
	if err := read(result, batch); err != nil {
		if wrongType(err) {
			w.suspect.Store(true)
		}
		return err
	}
	if w.options.Replicas > 0 {
		if n, err := results[1].AsInt64(); err != nil {
			return fmt.Errorf("wait for replicas: %w", err)
		} else if n < int64(w.options.Replicas) {
			return fmt.Errorf("%w: %d of %d", errReplicas, n, w.options.Replicas)
		}
	}
	return nil
}

// read reads the server's reply to a batch.
func read(result valkey.ValkeyResult, batch []*attempt) error {
	r, err := newReader(result)
	if err != nil {
		return fmt.Errorf("write to log: %w", err)
	}
	if word := r.text(); word != "OK" {
		return errHistory
	}
	first, server := r.number(), r.text()
	list := fleet.List{Server: server}
	for names := (reader{rest: r.list()}); len(names.rest) > 0; {
		list.Names = append(list.Names, names.text())
	}
	list.Edition = r.text()
	for i, a := range batch {
		a.seq, a.list = first+uint64(i), list
	}
	return r.err
}

// appendArgs returns the keys and the arguments of appendScript for a batch.
func (w *writer) appendArgs(server string, batch []*attempt) (keys, args []string) {
	k, history := w.keys, w.follower.View().History
	keys = []string{k.meta, k.terms, k.log, k.live}
	// place returns the place of a key among keys. keys holds only keys that the batch needs, since each key costs
	// the server time.
	place := func(key string) string {
		i := slices.Index(keys, key)
		if i < 0 {
			i, keys = len(keys), append(keys, key)
		}
		return strconv.Itoa(i + 1)
	}
	args = []string{historyText(history), server, k.entries, "", flag(slices.ContainsFunc(batch, func(a *attempt) bool { return a.waits }))}
	tell := make([]toldEntry, 0, len(batch))
	for _, a := range batch {
		// The mark of an entry that asks for confirmation stands among the hard marks. Only an instance that has just
		// started or was long cut off reads a snapshot. The snapshot reports the mark as a hard one, also to versions
		// that know of no confirmation.
		r, marks, beside, op, name := a.record, k.hard, k.fences, "mark", ""
		if !w.follower.Understood(r.Operation) {
			r.Operation = invalidation.Invalidate
		}
		switch r.Operation {
		case invalidation.InvalidateSoft:
			marks = k.soft
		case invalidation.BeginFence:
			op, name = "begin", strconv.FormatUint(r.Fence, 16)
		case invalidation.EndFence:
			op, name = "end", strconv.FormatUint(r.Fence, 16)
		case invalidation.Announce:
			beside, op, name = k.notices, "announce", r.Notice.Subject
			if len(r.Notice.Body) == 0 {
				op = "withdraw"
			}
		}
		record := r.Append(nil)
		signature, kept := w.options.Signer.signRecord(history, r.Nonce, record), ""
		if op == "begin" || op == "announce" {
			kept = keptSignature(r.Nonce, signature)
		}
		ids := slices.Concat(r.IDs, r.Older)
		args = append(args, nonceText(r.Nonce), place(marks), op, string(record), signature, strconv.Itoa(len(ids)))
		for _, id := range ids {
			args = append(args, string(binary.BigEndian.AppendUint64(nil, uint64(id))))
		}
		if op != "mark" {
			args = append(args, place(beside), place(k.signed), name, kept)
		}
		tell = append(tell, toldEntry{nonce: r.Nonce, awaited: a.waits, record: string(record), signature: signature})
	}
	args[3] = string(appendTold(nil, w.options.Instance, tell))
	return keys, args
}

// writeDue queues the records that the follower has to write, and reports whether there may be more. Nobody waits for
// the outcome: a record that does not come back in the log is due again. The server must be alive, since a record
// that is taken here and cannot be written is due again only after a while (fleet.Follower.Due).
func (w *writer) writeDue(ctx context.Context) (more bool) {
	due := w.follower.Due(maxDue, time.Now())
	for _, r := range due {
		r.Nonce = rand.Uint64()
		select {
		case w.queue <- &attempt{record: r, done: make(chan error, 1), due: true}:
		case <-ctx.Done():
			return false
		}
	}
	return len(due) >= maxDue
}
