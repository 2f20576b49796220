package valkey

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy"
)

// heardSoon is how long an entry may take to come back by itself. After heardSoon a heartbeat fetches the entry.
const heardSoon = 10 * time.Millisecond

// retryPause is the shortest pause after an attempt that failed. The pause is longer by a random time of up to
// retryPause.
const retryPause = 20 * time.Millisecond

// Invalidate implements invalidation.Log. An order that waits for all and cannot be confirmed fails with
// invalidation.ErrNotConfirmed or invalidation.ErrNotRecorded, but not before every instance that could not be
// reached must have lost its lease. On this instance the order holds at once.
func (l *Log) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	records := recordsOf(o)
	if o.Wait == invalidation.WaitLocal {
		return l.here(o.Operation(), invalidation.IDsOf(o.Members), records)
	}
	return l.record(ctx, o.Wait, records, o.Operation())
}

// recordsOf returns the records of an order. No record is too long.
func recordsOf(o invalidation.Order) []invalidation.Record {
	var records []invalidation.Record
	for _, w := range o.Wide {
		records = append(records, invalidation.Record{
			Operation: o.Operation(), IDs: invalidation.IDsOf(w.Members), Spared: invalidation.IDsOf(w.Spared), Settle: o.Settle,
		})
	}
	for ids := range slices.Chunk(invalidation.IDsOf(o.Members), invalidation.MaxRecordIDs) {
		records = append(records, invalidation.Record{Operation: o.Operation(), IDs: ids, Settle: o.Settle})
	}
	if len(records) > 0 {
		records[len(records)-1].Older = invalidation.IDsOf(o.Older)
	}
	return records
}

// Announce implements invalidation.Log.
func (l *Log) Announce(ctx context.Context, n invalidation.Notice) (invalidation.Receipt, error) {
	return l.record(ctx, invalidation.WaitAll, []invalidation.Record{{Operation: invalidation.Announce, Notice: n}}, invalidation.Announce)
}

// Begin implements invalidation.Log. Begin returns when every instance has applied the fence, or can hold no lease
// any more. If Begin did not wait for the others, an instance that has not heard of the fence yet would go on using
// copies while the origin has done the write and other clients read its result. A client that asks one instance after
// the other would see the stock go down, and up again. If the writer dies, all instances apply the fence's expiry.
//
// Begin fails soon where the log cannot be reached, since the write is still to come, and can be refused or go on
// without a fence. Begin fails when a heartbeat is not answered, or when the fence is not in the log after twice the
// time of a reply. After that Begin waits only for other instances that do not answer, until their leases must have
// lapsed.
func (l *Log) Begin(ctx context.Context, members []policy.Member) (*invalidation.Fence, error) {
	if !l.Alive() {
		return nil, fmt.Errorf("begin fence: %w", invalidation.ErrNotRecorded)
	}
	f := invalidation.NewFence(invalidation.IDsOf(members), rand.Uint64())
	r := invalidation.Record{Operation: invalidation.BeginFence, IDs: around(f), Fence: f.Number(), Life: fleet.FenceLife}
	epoch, begun := l.follower.View().Epoch, time.Now()
	reached, cancel := l.syncer.contact.whileReached(ctx)
	defer cancel()
	if _, err := l.until(reached, invalidation.WaitAll, r, 2*l.syncer.replyTimeout); err != nil {
		// The fence may be in the log all the same, and requests must not have to wait until the fence expires.
		end := invalidation.Record{Operation: invalidation.EndFence, IDs: r.IDs, Fence: r.Fence, Life: time.Millisecond}
		l.follower.Queue(rand.Uint64(), end, time.Now())
		l.syncer.wake()
		return nil, fmt.Errorf("begin fence: %w", err)
	}
	l.follower.Hold(f.Number(), epoch, begun)
	return f, nil
}

// around returns the members of a fence as one record holds them. No request names more members than a record can
// hold (policy.MaxEffects). Only a new configuration does, with very many routes that begin anew; then the fence is
// around everything.
func around(f *invalidation.Fence) []invalidation.ID {
	if len(f.IDs()) > invalidation.MaxRecordIDs {
		return invalidation.IDsOf([]policy.Member{policy.All})
	}
	return f.IDs()
}

// End implements invalidation.Log. Where the fence holds on every instance, and is around all members that its end
// names, the client need not wait for the end: the writer writes the end a little later, with other entries (fleet
// R15).
func (l *Log) End(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	ids := append(slices.Clone(around(f)), invalidation.IDsOf(o.Members)...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var records []invalidation.Record
	if len(ids) > invalidation.MaxRecordIDs {
		// The response has named very many members. They go before the end in records of their own.
		o.Soft, o.Confirm = false, false
		records, ids = recordsOf(o), around(f)
	}
	end := invalidation.Record{Operation: invalidation.EndFence, IDs: ids, Older: invalidation.IDsOf(o.Older), Fence: f.Number(), Settle: o.Settle}
	if o.Undone {
		end.Life = time.Millisecond
	}
	if o.Wait == invalidation.WaitAll && !o.Placed && !o.Undone && len(records)+len(end.Older) == 0 && !f.Ended() {
		if r, ok := l.follower.Conclude(end, time.Now()); ok {
			f.Over()
			l.writer.later(r)
			return invalidation.Receipt{ID: l.options.Instance + "-" + strconv.FormatUint(r.Fence, 16), Held: true}, nil
		}
	}
	records = append(records, end)
	if o.Wait == invalidation.WaitLocal {
		if o.Undone {
			ids = nil
		}
		f.Over()
		return l.here(invalidation.Invalidate, ids, records)
	}
	receipt, err := l.record(ctx, o.Wait, records, invalidation.Invalidate)
	if f.Ended() {
		receipt.Quiet = 0
	}
	if err == nil {
		f.Over()
	}
	return receipt, err
}

// Abandon implements invalidation.Log.
func (l *Log) Abandon(f *invalidation.Fence, hold time.Duration) {
	l.follower.Abandon(f.Number(), hold, time.Now())
	l.syncer.wake()
}

// here invalidates ids on this instance, and applies the records that spare copies. The instance owes the records to
// the log (R12).
func (l *Log) here(op invalidation.Operation, ids []invalidation.ID, records []invalidation.Record) (invalidation.Receipt, error) {
	start := time.Now()
	receipt := invalidation.Receipt{Instances: 1, Acked: []string{l.options.Instance}}
	for _, r := range records {
		if len(r.Spared) > 0 {
			l.follower.ApplyLocally(invalidation.Entry{Operation: op, IDs: r.IDs, Spared: r.Spared}, start)
		}
	}
	receipt.Position = l.follower.ApplyLocally(invalidation.Entry{Operation: op, IDs: ids}, start)
	for _, r := range records {
		l.follower.Queue(rand.Uint64(), r, time.Now())
	}
	receipt.ID = l.options.Instance + "-local-" + strconv.FormatUint(receipt.Position, 10)
	receipt.Took = time.Since(start)
	l.syncer.wake()
	return receipt, nil
}

// record writes records one after another and waits for the last as the order says. Instances apply the log in order:
// where the last record holds, the records before hold too.
func (l *Log) record(ctx context.Context, wait invalidation.Wait, records []invalidation.Record, op invalidation.Operation) (invalidation.Receipt, error) {
	start := time.Now()
	var got result
	for i, r := range records {
		w := wait
		if i < len(records)-1 {
			w = invalidation.WaitRecorded
		}
		var err error
		if got, err = l.until(ctx, w, r, l.LeaseTimeout()); err != nil {
			return l.unconfirmed(ctx, start, records, got, op, err)
		}
	}
	receipt := l.receipt(start, got)
	if len(records) > 1 {
		receipt.Quiet = 0 // the last record has the quiet of its own members only
	}
	return receipt, nil
}

// result is the state of an entry on its way.
type result struct {
	outcome
	recorded bool
	seq      uint64
}

func (l *Log) receipt(start time.Time, got result) invalidation.Receipt {
	return invalidation.Receipt{
		ID: l.options.Instance + "-" + strconv.FormatUint(got.seq, 10), Seq: got.seq, Position: got.event.Position,
		Instances: len(got.acked), Acked: got.acked, Reaped: got.reaped, Took: time.Since(start), Quiet: got.event.Quiet,
		Recorded: got.recorded, Held: len(got.acked) > 0,
	}
}

// unconfirmed makes an order hold here that could not be confirmed, and waits until no instance that was cut off when
// the order came can hold a lease any more.
func (l *Log) unconfirmed(ctx context.Context, start time.Time, records []invalidation.Record, got result, op invalidation.Operation, err error) (invalidation.Receipt, error) {
	for _, r := range records {
		if r.Operation != invalidation.Announce {
			l.follower.ApplyLocally(invalidation.Entry{Operation: op, IDs: r.IDs, Spared: r.Spared}, time.Now())
		}
	}
	select {
	case <-time.After(time.Until(start.Add(l.LeaseTimeout()))):
	case <-ctx.Done():
	}
	reason := invalidation.ErrNotRecorded
	if got.recorded {
		reason = invalidation.ErrNotConfirmed
	}
	return l.receipt(start, got), fmt.Errorf("%w: %w", reason, err)
}

// until writes a record, again where an attempt fails or the server loses the entry, and waits as asked. Where the
// log cannot be reached, until gives up after patience. A record that is in the log has three lease timeouts to hold:
// one instance may have to be reaped, and another may die while until waits for the reaping.
func (l *Log) until(ctx context.Context, wait invalidation.Wait, r invalidation.Record, patience time.Duration) (got result, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*l.LeaseTimeout(), errTimeout)
	defer cancel()
	for start := time.Now(); ; {
		again, failed := l.once(ctx, wait, r, &got)
		if !again {
			return got, failed
		}
		if failed != nil {
			err = failed
		}
		if !got.recorded && time.Since(start) >= patience {
			return got, err
		}
		select {
		case <-time.After(retryPause + rand.N(retryPause)):
		case <-ctx.Done():
			return got, errors.Join(err, context.Cause(ctx))
		}
	}
}

var errTimeout = errors.New("not confirmed in time")

// once makes one attempt to write a record. Every attempt is an entry with a nonce of its own. An attempt that found
// an earlier attempt's entry in the log, and wrote nothing, would have nothing for the replicas to confirm. A nonce
// that is used twice would make logs match that differ. once registers the waiter before the entry is written: see
// confirmations.expect.
func (l *Log) once(ctx context.Context, wait invalidation.Wait, r invalidation.Record, got *result) (again bool, err error) {
	r.Nonce = rand.Uint64()
	w := &waiter{wait: wait, result: make(chan outcome, 1)}
	l.confirmations.expect(r.Nonce, w)
	defer l.confirmations.drop(r.Nonce, w)
	written, err := l.writer.append(ctx, r, wait == invalidation.WaitAll)
	if err != nil {
		l.syncer.wake() // the syncer learns what has become of the log
		return ctx.Err() == nil, err
	}
	seq := written.seq
	l.confirmations.list(r.Nonce, written.list)
	got.recorded, got.seq = true, seq
	soon := time.NewTimer(heardSoon)
	defer soon.Stop()
	for {
		select {
		case o := <-w.result:
			if o.lost {
				return true, errors.New("the server has lost the entry")
			}
			got.outcome = o
			return false, nil
		case <-soon.C:
			if l.follower.Applied() < seq {
				l.syncer.wake()
			}
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}
