package valkey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"cacheproxy/invalidation"

	"github.com/valkey-io/valkey-go"
)

// maxBatch is how many entries are written in one round trip.
const maxBatch = 64

var (
	errHistory  = errors.New("write to log: it is another log than the one that is followed")
	errReplicas = errors.New("write to log: too few replicas have the entry")
)

// attempt is one entry to be written.
type attempt struct {
	record invalidation.Record // Nonce is set
	done   chan error          // has room for one
	seq    uint64              // set before done is
}

// append writes an entry, and returns its place.
func (l *Log) append(ctx context.Context, r invalidation.Record) (uint64, error) {
	a := &attempt{record: r, done: make(chan error, 1)}
	select {
	case l.appends <- a:
	case <-ctx.Done():
		return 0, fmt.Errorf("write to log: %w", ctx.Err())
	}
	select {
	case err := <-a.done:
		return a.seq, err
	case <-ctx.Done():
		return 0, fmt.Errorf("write to log: %w", ctx.Err())
	}
}

// write writes what there is, as much of it at once as has come meanwhile.
func (l *Log) write(ctx context.Context) error {
	for {
		var batch []*attempt
		select {
		case a := <-l.appends:
			batch = append(batch, a)
		case <-ctx.Done():
			l.turnAway(ctx.Err())
			return nil
		}
		for len(batch) < maxBatch && len(l.appends) > 0 {
			batch = append(batch, <-l.appends)
		}
		l.writeBatch(ctx, batch)
		l.wake()
	}
}

// turnAway answers those who still wait at the end.
func (l *Log) turnAway(err error) {
	for {
		select {
		case a := <-l.appends:
			a.done <- fmt.Errorf("write to log: %w", err)
		default:
			return
		}
	}
}

func (l *Log) writeBatch(ctx context.Context, batch []*attempt) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	client, err := l.options.Connection.Client()
	if err == nil {
		if l.options.Replicas > 0 {
			// WAIT counts what was written before it on its own connection.
			err = client.Dedicated(func(c valkey.DedicatedClient) error { return l.send(ctx, c, batch) })
		} else {
			err = l.send(ctx, client, batch)
		}
	}
	l.observe("append", start, err)
	for _, a := range batch {
		select {
		case a.done <- err:
		default: // it has its own answer
		}
	}
}

// send writes a batch in one round trip. What concerns one entry is told to it alone; the error is that of all others.
func (l *Log) send(ctx context.Context, c commander, batch []*attempt) error {
	commands := make([]valkey.Completed, 0, len(batch)+1)
	for _, a := range batch {
		keys, args := l.appendArgs(a.record)
		commands = append(commands, appendScript.command(c, keys, args))
	}
	if l.options.Replicas > 0 {
		commands = append(commands, c.B().Wait().Numreplicas(int64(l.options.Replicas)).Timeout(l.patience.Milliseconds()/2).Build())
	}
	results := c.DoMulti(ctx, commands...)
	for i, a := range batch {
		result := results[i]
		if unknownScript(result.Error()) {
			if l.options.Replicas > 0 {
				// What is written now comes after WAIT. The next attempt finds the script.
				keys, args := l.appendArgs(a.record)
				appendScript.run(ctx, c, keys, args)
				a.done <- errReplicas
				continue
			}
			keys, args := l.appendArgs(a.record)
			result = appendScript.run(ctx, c, keys, args)
		}
		if err := a.read(result); err != nil {
			a.done <- err
		}
	}
	if l.options.Replicas > 0 {
		if n, err := results[len(batch)].AsInt64(); err != nil {
			return fmt.Errorf("wait for replicas: %w", err)
		} else if n < int64(l.options.Replicas) {
			return fmt.Errorf("%w: %d of %d", errReplicas, n, l.options.Replicas)
		}
	}
	return nil
}

func (a *attempt) read(result valkey.ValkeyResult) error {
	r, err := newReader(result)
	if err != nil {
		return fmt.Errorf("write to log: %w", err)
	}
	if word := r.text(); word != "OK" {
		return errHistory
	}
	a.seq = r.number()
	return r.err
}

func (l *Log) appendArgs(r invalidation.Record) (keys, args []string) {
	marks, beside, op, name := l.keys.hard, l.keys.fences, "mark", ""
	switch r.Operation {
	case invalidation.InvalidateSoft:
		marks = l.keys.soft
	case invalidation.BeginFence:
		op, name = "begin", strconv.FormatUint(r.Fence, 16)
	case invalidation.EndFence:
		op, name = "end", strconv.FormatUint(r.Fence, 16)
	case invalidation.Announce:
		beside, op, name = l.keys.notices, "announce", r.Notice.Subject
		if len(r.Notice.Body) == 0 {
			op = "withdraw"
		}
	}
	args = []string{
		l.historyNow(), nonceText(r.Nonce), strconv.Itoa(maxLog), strconv.Itoa(maxMarks), op, name, string(r.Append(nil)),
	}
	for _, id := range r.IDs {
		args = append(args, string(binary.BigEndian.AppendUint64(nil, uint64(id))))
	}
	return []string{l.keys.meta, l.keys.log, marks, beside}, args
}

// writeDue writes what the follower has to make up for. Nobody waits: what does not come back in the log is due again.
func (l *Log) writeDue(ctx context.Context) {
	if !l.Alive() {
		return
	}
	for _, r := range l.follower.Due(time.Now()) {
		r.Nonce = rand.Uint64()
		select {
		case l.appends <- &attempt{record: r, done: make(chan error, 1)}:
		case <-ctx.Done():
			return
		default:
			return // the rest is due again
		}
	}
}
